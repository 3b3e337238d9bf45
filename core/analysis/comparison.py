"""Trainings on the same pairs, with the same steps and seed, judged on the same pictures that none of them sees."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan import console
from pocketgan.analysis.arms import Arms

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from pocketgan.training.adapter import Concept
    from pocketgan.training.adapting import AdaptOptions
    from pocketgan.training.base_and_pairs import BaseAndPairs
    from pocketgan.training.generators.files import LoadedGenerator
    from pocketgan.training.pair_quality import PairMetric

SHOWN = 6


class Comparison:
    """
    Args:
        what: the analysis, `parts` or `transformer`.
        given: the pairs, of which 15 % are kept for choosing; those for validation are not looked at.
        options: of every training; ranks are of no meaning.
        out: folder of the analysis.
        metric, lpips_weights: as `PairQuality` takes them.
        told: what the trainings depend on beside all this.
    Attributes:
        facts: what the table's readers want to know of all arms alike; no base where they begin with fresh weights.
    Raises:
        PocketganError: pairs or folder cannot be used, or what judges is not to be had.
    """

    def __init__(
        self,
        what: str,
        given: BaseAndPairs,
        concept: Concept,
        options: AdaptOptions,
        out: Path,
        *,
        metric: PairMetric,
        lpips_weights: Path | None,
        told: Mapping[str, Any],
    ) -> None:
        from pocketgan.training.pair_quality import PairQuality
        from pocketgan.training.processes import join

        trained, kept = given.apart(options.seed)
        given.check_batch(options.batch_size, trained)
        self._accelerator = join()
        self._quality = PairQuality(given, kept, metric, lpips_weights, self._accelerator.device)
        self._images, self._kept = given.images(trained, flip=options.flip), given.images(kept)
        self._concept, self._options = concept, options
        settings = {**options.to_json(), "ranks": None}
        everything = {**given.told(concept), "options": settings, "quality": self._quality.told(), **told}
        self.arms = Arms(out, what, everything)
        self.facts: dict[str, Any] = {
            "what": what,
            "base_sha256": everything["base"],
            "concept": concept.text,
            "steps": options.steps,
            "batch_size": options.batch_size,
            "learning_rate": options.learning_rate,
            "seed": options.seed,
            "size": list(given.size),
            "images": {"trained": len(trained), "kept": len(kept)},
            "metric": metric,
        }

    def learn(
        self, name: str, base: LoadedGenerator, facts: Mapping[str, Any], *, frozen: Collection[str] = ()
    ) -> dict[str, Any]:
        """Train the arm of that name, unless it is finished; what came of it, `facts` and the metrics' values.

        Raises:
            PocketganError: the training diverges or cannot be written.
        """
        from pocketgan.training.fine_tuning import fine_tune

        if (found := self.arms.result(name)) is not None:
            return found
        console.note(f"analyse {self.facts['what']}: {name}")
        folder = self.arms.checkpoints(name)
        made = fine_tune(base, self._images, self._concept, self._options, folder, self._accelerator, frozen=frozen)
        return self.judge(name, made.module.to(self._accelerator.device), facts)

    def judge(self, name: str, generate: Callable[[Tensor], Tensor], facts: Mapping[str, Any]) -> dict[str, Any]:
        """As `learn`, of what is trained already."""
        if (found := self.arms.result(name)) is not None:
            return found
        values = self._quality(generate)
        result = {**facts, **values}
        self.arms.keep(name, result, self._pictures(generate))
        console.note(f"{name}: {', '.join(f'{metric} {value:.4f}' for metric, value in values.items())}")
        return result

    def samples(self) -> dict[str, list[np.ndarray]]:
        """Inputs and targets of the pictures that every arm shows."""
        from pocketgan.training.data.images import to_pixels

        pairs = [self._kept.whole(index) for index in range(min(SHOWN, len(self._kept)))]
        return {side: [to_pixels(pair[side]) for pair in pairs] for side in ("input", "target")}

    def _pictures(self, generate: Callable[[Tensor], Tensor]) -> list[np.ndarray]:
        import torch

        from pocketgan.training.data.images import to_pixels

        shown = [self._kept.whole(index)["input"][None] for index in range(min(SHOWN, len(self._kept)))]
        with torch.no_grad():
            return [to_pixels(generate(image.to(self._accelerator.device)).float().cpu()[0]) for image in shown]
