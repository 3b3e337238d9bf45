"""What each part of a base is worth to a concept (E2GAN, figure 4): fine-tuned as a whole, one part at a time frozen.

Where freezing a part costs quality, LoRA needs to reach it; where it costs none, the base's weights do.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan.analysis.comparison import Comparison
from pocketgan.analysis.tables import Column, millions, quality_columns, write_tables

if TYPE_CHECKING:
    from pocketgan.training.adapter import Concept
    from pocketgan.training.adapting import AdaptOptions
    from pocketgan.training.pair_quality import PairMetric

NOTHING, UNTRAINED = "nothing", "untrained"
TITLE = "Each part frozen in turn"


def analyse_parts(
    base: Path,
    data: Path,
    concept: Concept,
    options: AdaptOptions,
    out: Path,
    *,
    parts: Sequence[str] | None = None,
    metric: PairMetric = "lpips",
    lpips_weights: Path | None = None,
    size: tuple[int, int] | None = None,
    only: Collection[str] | None = None,
) -> dict[str, Any]:
    """Fine-tune a base on one concept with nothing frozen, and with each part frozen in turn.

    Every arm has the same steps, pairs and seed, and is judged on 15 % of the training pairs, which none sees. A
    stopped analysis goes on with the same call: finished arms are kept, the one under way goes on from its checkpoint.

    Args:
        base: a model file of an e2gan.
        parts: names of `fine_tuning.ALL_PARTS`; all where None.
        size, only: as `adapting.adapt_folder` takes them.
    Returns:
        What `out/table.json` holds: a row an arm, `untrained` being the base with the concept's text alone. `against`
        is an arm's metric over that of nothing frozen.
    Raises:
        PocketganError: something that is given cannot be used, or a training diverges or cannot be written.
    """
    from pocketgan.training.base_and_pairs import BaseAndPairs
    from pocketgan.training.fine_tuning import ALL_PARTS, check_parts, unfrozen_parameters
    from pocketgan.training.processes import join
    from pocketgan.training.text.concept import check_encoder, with_concept

    given = BaseAndPairs.read(base, data, size=size, only=only)
    chosen = list(ALL_PARTS) if parts is None else [part for part in ALL_PARTS if part in parts]
    check_parts(given.spec, parts or ())
    check_encoder(given.base.metadata, concept.encoder, "the base")
    compared = Comparison("parts", given, concept, options, out, metric=metric, lpips_weights=lpips_weights, told={})
    names = [UNTRAINED, NOTHING, *chosen]

    def write() -> dict[str, Any]:
        return write_tables(out, TITLE, compared, names, columns(metric), beside=NOTHING)

    untrained = with_concept(given.base.module, concept.tokens).eval().to(join().device)
    compared.judge(UNTRAINED, untrained, {"trained_parameters": 0})
    table = write()
    for name in (NOTHING, *chosen):
        frozen = [part for part in chosen if part == name]
        compared.learn(name, given.base, {"trained_parameters": unfrozen_parameters(given.spec, frozen)}, frozen=frozen)
        table = write()
    return table


def columns(metric: str) -> list[Column]:
    """Of the table, behind the name of the frozen part."""
    return [("trained", millions("trained_parameters")), *quality_columns(metric, f"{NOTHING} frozen")]
