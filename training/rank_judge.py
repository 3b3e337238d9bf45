"""Rank search on a base and a concept's pairs: every try adapts briefly, judged on pictures kept for choosing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan import console
from pocketgan.errors import DataError, ModelError, require
from pocketgan.files import sha256_json, write_atomic
from pocketgan.recipe.choices import Direction
from pocketgan.training.adapter import (
    MOST_SHARE,
    Concept,
    Ranks,
    adapted_layers,
    merge,
    trained_parameters,
)
from pocketgan.training.adapting import AdaptOptions, adapt
from pocketgan.training.base_and_pairs import BaseAndPairs, checkpoints_beside
from pocketgan.training.data.paired import Pair
from pocketgan.training.generators import skeleton
from pocketgan.training.pair_quality import PairMetric, PairQuality
from pocketgan.training.processes import join
from pocketgan.training.rank_search import search_ranks
from pocketgan.training.text.concept import check_encoder

if TYPE_CHECKING:
    from accelerate import Accelerator

_VERSION, _WHAT = 1, "ranks"


class RankJudge:
    """What ranks are worth: trains branches of them for `options.steps` and gives the metric of what comes out.

    The same for the same arguments: seed, pictures and steps are the options', and nothing else is drawn.

    Args:
        given: the base and the pairs.
        trained: the pairs that a try is trained on.
        options: of every try; their ranks are of no meaning.
        quality: on the pairs that are kept for choosing.
        folder: of the checkpoint of the try under way, from which a killed one goes on.
    """

    def __init__(
        self,
        given: BaseAndPairs,
        trained: list[Pair],
        concept: Concept,
        options: AdaptOptions,
        quality: PairQuality,
        folder: Path,
        accelerator: Accelerator,
    ) -> None:
        self._given, self._concept, self._options = given, concept, options
        self._images = given.images(trained, flip=options.flip)
        self._quality, self._folder, self._accelerator = quality, folder, accelerator

    def __call__(self, ranks: Ranks) -> float:
        """The mean of the quality's metric; lower is better.

        Raises:
            PocketganError: the training diverges or cannot be written.
        """
        folder = self._folder / "-".join(map(str, ranks.to_json().values()))
        options = replace(self._options, ranks=ranks)
        adapter = adapt(self._given.base, self._images, self._concept, options, folder, self._accelerator)
        network = merge(self._given.base, adapter).module.to(self._accelerator.device)
        values = self._quality(network)
        shutil.rmtree(folder)
        told = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
        console.note(f"ranks {ranks}: {told}; {trained_parameters(self._given.spec, ranks):,} parameters")
        return values[self._quality.metric]


def search_ranks_folder(
    base: Path,
    data: Path,
    concept: Concept,
    options: AdaptOptions,
    out: Path,
    *,
    most_share: float = MOST_SHARE,
    most_parameters: int | None = None,
    metric: PairMetric = "lpips",
    lpips_weights: Path | None = None,
    size: tuple[int, int] | None = None,
    direction: Direction = "AtoB",
    only: Collection[str] | None = None,
) -> dict[str, Any]:
    """Search ranks for a base on one concept's pairs and write what was found as JSON.

    15 % of the training pairs are kept for choosing; those for validation are not looked at. A killed search is gone
    on with by the same call, as `adapting.adapt_folder` is.

    Args:
        options: of every try; their ranks are those that the search starts from.
        most_share: the budget, as a share of the base's parameters.
        most_parameters: the budget in parameters, instead.
        metric, lpips_weights: as `PairQuality` takes them.
        size, direction, only: as `adapt_folder` takes them.
    Returns:
        What `out` holds: the best ranks, what they train and were judged, every try, and what all of it depends on.
    Raises:
        BudgetError: the ranks that it starts from are above the budget.
        PocketganError: something that is given cannot be used, or a training diverges or cannot be written.
    """
    require("adapt", "peft")
    given = BaseAndPairs.read(base, data, size=size, direction=direction, only=only)
    adapted_layers(skeleton(given.spec), given.spec)
    check_encoder(given.base.metadata, concept.encoder, "the base")
    trained, kept = given.apart(options.seed)
    given.check_batch(options.batch_size, trained)
    accelerator = join()
    quality = PairQuality(given, kept, metric, lpips_weights, accelerator.device)
    total = sum(weight.numel() for weight in given.base.module.parameters())
    budget = int(most_share * total) if most_parameters is None else most_parameters
    start = options.ranks_for(given.spec)
    told = {**given.told(concept), "options": {**options.to_json(), "ranks": None}, "quality": quality.told()}
    folder = checkpoints_beside(out, told)
    judge = RankJudge(given, trained, concept, options, quality, folder, accelerator)

    def parameters(ranks: Ranks) -> int:
        return trained_parameters(given.spec, ranks)

    found = search_ranks(start, parameters, budget, judge, folder / "tries.json", sha256_json(told))

    def row(ranks: Ranks, value: float) -> dict[str, Any]:
        count = parameters(ranks)
        return {"ranks": ranks.to_json(), "parameters": count, "share": count / total, metric: value}

    tries = [{**row(ranks, value), "taken": ranks in found.path} for ranks, value in found.evaluations.items()]
    report = {
        "version": _VERSION,
        "what": _WHAT,
        **row(found.ranks, found.judge),
        "metric": metric,
        "budget": budget,
        "concept": concept.text,
        "base_sha256": given.digest,
        "steps": options.steps,
        "seed": options.seed,
        "images": {"trained": len(trained), "kept": len(kept)},
        "tries": tries,
    }
    write_atomic(out, json.dumps(report, indent=1) + "\n")
    shutil.rmtree(folder)
    return report


def read_ranks(path: Path) -> Ranks:
    """Those that a search wrote.

    Raises:
        DataError: there is no such file, or it is no rank search's.
    """
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
        if whole["what"] != _WHAT or whole["version"] != _VERSION:
            raise ValueError(f"version {whole['version']} of {whole['what']}")
        return Ranks.from_json(whole["ranks"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ModelError) as error:
        raise DataError(f"{path} is no file that `pocketgan ranks` wrote, or damaged ({error})") from error
