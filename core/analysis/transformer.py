"""Where an e2gan's transformer block should stand (E2GAN, figure 2): each place trained from scratch on the same pairs.

After DS a picture has four times fewer tokens than after the other parts; what that saves and what it costs differs
from data to data.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan import console
from pocketgan.analysis.comparison import Comparison
from pocketgan.analysis.tables import Column, millions, number, quality_columns, write_tables
from pocketgan.errors import ModelError
from pocketgan.recipe.choices import TRANSFORMER_PLACES, TransformerPlace

if TYPE_CHECKING:
    from pocketgan.training.adapter import Concept
    from pocketgan.training.adapting import AdaptOptions
    from pocketgan.training.generators import GeneratorSpec
    from pocketgan.training.pair_quality import PairMetric

TITLE = "Places of the transformer block"
MIDDLE: TransformerPlace = "ds"


def analyse_transformer(
    spec: GeneratorSpec,
    data: Path,
    concept: Concept,
    options: AdaptOptions,
    out: Path,
    *,
    places: Sequence[str] | None = None,
    metric: PairMetric = "lpips",
    lpips_weights: Path | None = None,
    only: Collection[str] | None = None,
    threads: int | None = 1,
) -> dict[str, Any]:
    """Train an e2gan from scratch on one concept, its transformer block at each place in turn, and time a frame.

    Steps, judging and going on are those of `parts.analyse_parts`. Frames are timed in turns, with fresh weights.

    Args:
        spec: of an e2gan, at the size that is trained and timed at.
        places: some of `TRANSFORMER_PLACES`; all where None.
        only: names of the pictures that are trained on; all where None.
        threads: of ONNX Runtime; None measures no time.
    Returns:
        What `out/table.json` holds: a row a place. `against` is an arm's metric over that of the middle, `ds`.
    Raises:
        PocketganError: something that is given cannot be used, or a training diverges or cannot be written.
    """
    from dataclasses import replace

    from pocketgan.training.base_and_pairs import BaseAndPairs
    from pocketgan.training.cost import cost
    from pocketgan.training.generators import build, check
    from pocketgan.training.generators.files import LoadedGenerator

    chosen = _places(places)
    if spec.family != "e2gan":
        raise ModelError(f"an e2gan has a transformer block to move; {spec.family} has none")
    specs = {place: replace(spec, transformer_after=place) for place in chosen}
    for one in specs.values():
        check(one)

    def fresh(place: TransformerPlace) -> LoadedGenerator:
        return LoadedGenerator(build(specs[place], options.seed), specs[place], {"trained": "no"})

    given = BaseAndPairs.read(fresh(chosen[0]), data, only=only)
    # The pairs of all arms alike; what the first one's weights are is no matter.
    told = {"base": None, "generator": replace(spec, transformer_after=MIDDLE).to_json()}
    compared = Comparison(
        "transformer", given, concept, options, out, metric=metric, lpips_weights=lpips_weights, told=told
    )
    table = _written(out, compared, chosen, metric, {})
    for place in chosen:
        total = cost(specs[place])
        compared.learn(place, fresh(place), {"parameters": total.params, "macs": total.macs})
        table = _written(out, compared, chosen, metric, {})
    if threads is None:
        return table
    return _written(out, compared, chosen, metric, _timed(specs, out / "latency", threads))


def _places(wanted: Sequence[str] | None) -> list[TransformerPlace]:
    if wanted is None:
        return list(TRANSFORMER_PLACES)
    if unknown := sorted(set(wanted) - set(TRANSFORMER_PLACES)):
        raise ModelError(
            f"the transformer block cannot stand after {', '.join(unknown)}; it can after "
            f"{', '.join(TRANSFORMER_PLACES)}"
        )
    return [place for place in TRANSFORMER_PLACES if place in wanted]


def _written(
    out: Path,
    compared: Comparison,
    names: Sequence[str],
    metric: str,
    times: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    return write_tables(out, TITLE, compared, names, columns(metric), beside=MIDDLE, more=times)


def columns(metric: str) -> list[Column]:
    """Of the table, behind the place."""
    return [
        ("parameters", millions("parameters")),
        ("MACs", lambda row: f"{row['macs'] / 1e9:.2f} G"),
        ("ms a frame", number("median_ms", 2)),
        *quality_columns(metric, MIDDLE),
    ]


def _timed(specs: Mapping[TransformerPlace, GeneratorSpec], folder: Path, threads: int) -> dict[str, dict[str, Any]]:
    """Median frame time by place, in ms, of ONNX Runtime on this computer; measured once, in turns."""
    from pocketgan import api

    bundles = {place: folder / f"{place}.pgb" for place in specs}
    for place, path in bundles.items():
        if not path.exists():
            console.note(f"exporting {place} to be timed")
            api.export(specs[place], "onnx", path, name=place)
    found = api.bench(list(bundles.values()), threads=threads, out=folder / f"results-{threads}.jsonl", resume=True)
    return {one.bundle: {"median_ms": one.median_ms, "fps": one.fps, "threads": threads} for one in found}
