"""The stage `compress` with `method: evolve`: a student and its two teachers out of the supernet (UGC, stage 2)."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan import console
from pocketgan.files import sha256_file, write_atomic
from pocketgan.pipeline.choosing import apart, check_counts, names_of
from pocketgan.pipeline.drawn import learnt_images, learnt_split
from pocketgan.pipeline.images import Split, input_format
from pocketgan.pipeline.networks import GENERATOR, STUDENT, TEACHERS, supernet_space
from pocketgan.pipeline.processes import is_first
from pocketgan.pipeline.stage import Context, read_stage
from pocketgan.recipe.recipe import Recipe
from pocketgan.recipe.sections import CompressStage

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pocketgan.training.evolve import Candidate, Limit, Region
    from pocketgan.training.evolve_quality import Judging, Quality
    from pocketgan.training.generators import GeneratorSpec
    from pocketgan.training.supernet_space import Space

SEARCH = "search.json"
_RESULTS, _IMAGES = "judged", "choosing.safetensors"
# Of the candidates that may be judged: the student's; its teachers share the rest.
_STUDENTS_SHARE = 0.6
# Candidates for a target that are timed there in turns, beside the fastest as predicted.
_TIMED = 12
_TIMES = "times.json"


def check(recipe: Recipe) -> None:
    """The budget lies in the space, and what judges candidates is there and fits the images."""
    import torch

    from pocketgan.latency.platform import Platform, check_platform
    from pocketgan.training.evaluator import load_judges

    stage = _stage(recipe)
    space = supernet_space(recipe)
    if stage.target is not None:
        check_platform(Platform(stage.target, stage.threads))
    if stage.by != "latency":
        _region(recipe, space).check()
    elif is_first():  # two processes that time at once would disturb each other
        _region(recipe, space).check(" ms")
    if stage.evaluations:
        assert recipe.data is not None
        for judging in _judgings(stage):
            load_judges(judging, recipe.size, recipe.data.classes, torch.device("cpu"))
        teacher = recipe.teacher
        assert teacher is not None
        if teacher.evaluate_every is None and not teacher.is_given:
            console.note(
                "compress: the supernet learns from the images that choose among its sub-networks; "
                "teacher.evaluate_every keeps them from it"
            )


def outside(recipe: Recipe, run: Path) -> Any:
    """What a search depends on beside its own section and the supernet: its space, the images, and what judges them."""
    stage = _stage(recipe)
    assert recipe.data is not None
    files = [one.file() for one in _judgings(stage)]
    record = read_stage(run, "data") or {}
    return {
        "space": supernet_space(recipe).digest,
        "data": record.get("outputs"),
        "images": recipe.data.model_dump(mode="json", exclude_defaults=True, exclude={"folder", "unlabelled"}),
        "judges": [sha256_file(file) for file in files if file is not None and file.is_file()],
    }


def evolve_student(context: Context) -> dict[str, Any]:
    """Search, and write the student and its teachers with the weights that they inherit."""
    from pocketgan.training.cost import cost
    from pocketgan.training.evolve_quality import KeptImages, device, forget, inherited
    from pocketgan.training.generators.files import load_generator, save_generator
    from pocketgan.training.supernet import Supernet

    recipe, stage = context.recipe, _stage(context.recipe)
    started = time.perf_counter()
    space = supernet_space(recipe)
    supernet = Supernet(space, load_generator(context.run / "teacher" / GENERATOR).module)
    images = context.folder / _IMAGES
    names = _write_images(context, supernet.network, images)
    with context.workers.open() as pool:
        search = _Search(context, space, pool)
        found = search.run()
    forget()
    kept = KeptImages(images)
    for name, one in found.items():
        network, spec = inherited(supernet, one.configuration, kept, device())
        save_generator(context.folder / name, network, spec, {"trained": "no"})
    specs = {name: space.spec(one.configuration) for name, one in found.items()}
    told = {name: {"cost": one.cost, **cost(specs[name]).model_dump()} for name, one in found.items()}
    record = {
        "space": space.to_json(),
        "judged_by": stage.judged_by if stage.evaluations else None,
        "kept_images": names,
        "networks": {
            name: {**told[name], "judged": search.value(name), "configuration": one.configuration.to_json()}
            for name, one in found.items()
        },
        "searches": search.told,
    }
    write_atomic(context.folder / SEARCH, json.dumps(record, indent=1))
    images.unlink()
    shutil.rmtree(context.folder / _RESULTS, ignore_errors=True)
    student = told[STUDENT]
    return {
        "cost": student["cost"],
        "budget": stage.budget,
        "seconds": time.perf_counter() - started,
        "evaluations": sum(one["evaluations"] for one in search.told.values()),
        "macs": student["macs"],
        "teacher_macs": cost(space.base).macs,
        "compared_with": "plain network",
        "rule": "evolution" if stage.evaluations else "even networks, no search",
        "predicted_ms": search.predicted_ms,
        "measured_ms": search.measured_ms,
        "judged_by": record["judged_by"],
        "judged": search.value(STUDENT),
        "teachers": {Path(name).stem: told[name] for name in TEACHERS},
        "kept_images": names,
    }


class _Search:
    """The three searches of one stage, one after the other."""

    def __init__(self, context: Context, space: Space, pool: Any) -> None:
        from pocketgan.training.evolve_quality import Quality

        recipe = context.recipe
        assert recipe.data is not None
        self._recipe, self._stage, self._space = recipe, _stage(recipe), space
        self._times = context.folder / _RESULTS / _TIMES
        self._measured: dict[str, float] = {}
        self._quality: Quality = Quality(
            pool,
            context.folder / _RESULTS,
            space,
            context.run / "teacher" / GENERATOR,
            context.folder / _IMAGES,
            input_format(recipe.data),
        )
        self.told: dict[str, dict[str, Any]] = {}
        self.predicted_ms: float | None = None
        self.measured_ms: float | None = None

    def run(self) -> dict[str, Candidate]:
        """The student's file and its teachers', each with what was found."""
        from pocketgan.training.cost import cost_function
        from pocketgan.training.evolve import Region, limit

        stage, space = self._stage, self._space
        for_student = round(_STUDENTS_SHARE * stage.evaluations)
        region = _region(self._recipe, space)
        if stage.target is not None and stage.by != "latency":
            region.limit, region.filled = limit(region, _latency(stage, space), self._recipe.seed), True
            console.note(f"compress: student: at most {region.limit.ms:.3g} ms on {stage.target}, as predicted")
        student = self._best(STUDENT, region, for_student, stage.last_ones)
        if stage.target is not None:
            spec = space.spec(student.configuration)
            self.predicted_ms = _latency(stage, space)(spec)
            self.measured_ms = self._measured.get(spec.digest)
        count = cost_function("macs_by_output" if stage.by == "macs_by_output" else "macs")
        target = stage.teacher_times * count(space.spec(student.configuration))
        found = {STUDENT: student}
        for name, depth in zip(TEACHERS, (space.depths[0], space.depths[-1]), strict=True):
            region = Region(space, count, target, depth, filled=True)
            least = region.cost(region.smallest)
            if least > target:
                console.note(
                    f"compress: the smallest {Path(name).stem} teacher has more than {stage.teacher_times:g} times the "
                    "student's MACs; it is taken"
                )
                region.budget = least
            found[name] = self._best(name, region, (stage.evaluations - for_student) // 2, 0)
        return found

    def _best(self, name: str, region: Region, evaluations: int, finalists: int) -> Candidate:
        from pocketgan.training.evolve import Candidate, EvolutionOptions, evolve
        from pocketgan.training.evolve_quality import measured

        stage, label = self._stage, Path(name).stem
        judging = _judging(stage)
        if not evaluations:
            even = region.even()
            self.told[label] = {"evaluations": 0}
            return Candidate(even, region.cost(even), 0.0)
        options = EvolutionOptions(
            population=stage.population,
            mutation=stage.mutation,
            crossover=stage.crossover,
            elites=stage.elites,
            patience=stage.patience,
            seed=self._recipe.seed,
        )
        finalists = min(finalists, evaluations // 2)
        judge: Callable[[Any], list[float]] = lambda them: self._quality(them, judging, f"{label} candidate")  # noqa: E731
        found = evolve(region, judge, evaluations - finalists, options, label)
        self.told[label] = {
            "generations": [measured(value, judging) for value in found.generations],
            "evaluations": found.evaluations,
        }
        ranked = found.ranked if region.limit is None else self._as_fast(region.limit, found.ranked)
        best, last = ranked[0], ranked[:finalists]
        if last:
            fid = self._quality([one.configuration for one in last], _judging(stage, finals=True), f"{label} finalist")
            best = min(zip(fid, last, strict=True), key=lambda row: row[0])[1]
            self.told[label]["finalists"] = [
                {"fid": value, stage.judged_by: measured(one.judged, judging)}
                for value, one in zip(fid, last, strict=True)
            ]
            self.told[label]["evaluations"] += len(last)
        value = self.told[label]["judged"] = measured(best.judged, judging)
        console.note(
            f"compress: {label}: {stage.judged_by} {value:.4g}, chosen of {found.evaluations} candidates in "
            f"{len(found.generations)} generations"
        )
        return best

    def _as_fast(self, limit: Limit, ranked: Sequence[Candidate]) -> Sequence[Candidate]:
        """The best that keep the limit on the target itself, timed beside its network, which is one of them: what a
        prediction errs by decides between networks that were all predicted to be fast."""
        fastest = self._space.spec(limit.fastest)
        for start in range(0, len(ranked), _TIMED):
            batch = ranked[start : start + _TIMED]
            specs = [self._space.spec(one.configuration) for one in batch]
            self._measured = self._timed([fastest, *specs])
            most = self._measured[fastest.digest] * max(1.0, limit.ms / limit.latency(fastest))
            kept = [one for one, spec in zip(batch, specs, strict=True) if self._measured[spec.digest] <= most]
            if kept:
                console.note(
                    f"compress: student: {len(kept)} of {start + len(batch)} take {most:.3g} ms at most, as timed"
                )
                return kept
        return ranked

    def _timed(self, specs: Sequence[GeneratorSpec]) -> dict[str, float]:
        """Milliseconds by a spec's digest; a stage that was stopped and goes on finds those of before."""
        from pocketgan.latency.measuring import measure_networks
        from pocketgan.latency.platform import Platform

        assert self._stage.target is not None
        them = {spec.digest: spec for spec in specs}
        known: dict[str, dict[str, float]] = json.loads(self._times.read_text()) if self._times.is_file() else {}
        turn = " ".join(them)
        if turn not in known:
            times = measure_networks([*them.values()], Platform(self._stage.target, self._stage.threads))
            known[turn] = dict(zip(them, times, strict=True))
            self._times.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self._times, json.dumps(known))
        return known[turn]

    def value(self, name: str) -> float | None:
        """What the network of that file was judged; None where it was not."""
        return self.told[Path(name).stem].get("judged")


def _stage(recipe: Recipe) -> CompressStage:
    assert recipe.compress is not None
    return recipe.compress


def _judgings(stage: CompressStage) -> list[Judging]:
    """What candidates are judged by, and what chooses among the last ones if there are such."""
    if not stage.evaluations:
        return []
    return [_judging(stage), *([_judging(stage, finals=True)] if stage.last_ones else [])]


def _judging(stage: CompressStage, finals: bool = False) -> Judging:
    from pocketgan.training.evolve_quality import Judging

    metric = "fid" if finals else stage.judged_by
    return Judging(metric, stage.inception, stage.lpips_weights, stage.judge, stage.judge_scale)


def _region(recipe: Recipe, space: Space) -> Region:
    """The student's: all of the space within the budget."""
    from pocketgan.training.cost import cost_function
    from pocketgan.training.evolve import Region

    stage = _stage(recipe)
    count = _latency(stage, space) if stage.by == "latency" else cost_function(stage.by)
    return Region(space, count, stage.budget)


def _latency(stage: CompressStage, space: Space) -> Callable[[GeneratorSpec], float]:
    from pocketgan.latency.measuring import latency_model
    from pocketgan.latency.platform import Platform

    assert stage.target is not None
    return latency_model(space.whole, Platform(stage.target, stage.threads))


def _write_images(context: Context, supernet: nn.Module, path: Path) -> Any:
    """Write the images that choose, and those that norms gather over; the names of the first."""
    from pocketgan.training.evolve_quality import write_images

    recipe, stage = context.recipe, _stage(context.recipe)
    check_counts(recipe, context.run)
    trained, kept = apart(learnt_split(recipe, context.run, "train"), recipe.seed)
    kept = Split(_spread(kept.items, stage.images))
    others = learnt_images(recipe, context.run, "train", only=Split(_spread(trained.items, stage.calibration)))
    images = learnt_images(recipe, context.run, "train", only=kept)
    rows = [_with_target(images.whole(index), supernet) for index in range(len(images))]
    write_images(path, rows, [others.whole(index)["input"] for index in range(len(others))])
    return names_of(kept)


def _with_target(image: dict[str, Tensor], supernet: nn.Module) -> dict[str, Tensor]:
    """Of photos alone the largest network's picture is what its sub-networks should draw."""
    import torch

    if "target" in image:
        return image
    with torch.no_grad():
        return {**image, "target": supernet(image["input"][None])[0]}


def _spread(items: Sequence[Sequence[str]], most: int) -> list[Sequence[str]]:
    """At most that many, from all over the list."""
    count = min(most, len(items))
    return [items[index * len(items) // count] for index in range(count)]
