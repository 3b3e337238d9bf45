"""Unpacked bundles: every asked form of one or more models, exported in worker processes, whole or not there.

Finished forms wait in a work folder beside the bundle until all are done, so that an export that was killed goes on
where it was.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pocketgan import __version__, console
from pocketgan.bundle.manifest import Cost, Entry, FileRecord, GoldenSet, Manifest, Origin, Role
from pocketgan.bundle.packing import record_file, write_manifest
from pocketgan.errors import ExportError, PocketganError, storage_errors
from pocketgan.export.entry import EXPORT_VERSION, entry_id
from pocketgan.export.exchange import ARTIFACT, INPUTS, OUTPUTS, Answer, Task
from pocketgan.export.forms import check_forms, together
from pocketgan.export.golden import Golden, write_golden
from pocketgan.export.pool import Pool, ThisProcess, worker_count
from pocketgan.export.source import ModelSource, from_file
from pocketgan.export.targets import find_target
from pocketgan.export.worker import export_task, golden_task, read_artifact
from pocketgan.files import atomic_file, atomic_folder, recover_folder, sha256_file, sha256_json
from pocketgan.targets import versions
from pocketgan.training.generators import GeneratorSpec

DEFAULT_WORKERS = 2
# Target, precision and io.
Asked = tuple[str, str, str]
NOTICE = """The files below models/ were written by pocketgan, which is free software under the Apache License 2.0.
That licence covers no weights: they belong to whoever trained them, on the terms that they and their data carry.
"""


@dataclass(frozen=True)
class BundleRequest:
    """One bundle to write.

    Attributes:
        model: a model file, or another source.
        folder: the bundle; an earlier one in its place is replaced once the new one is whole.
        targets: pairs of target and precision, None for the target's default.
        io: "tensor", "image" (uint8 RGB in and out), or both: every target is exported for each.
        trained: whether the weights were; None: what the model file says, False for other sources. Parity below the
            floor is an error for all but untrained generators of our own families.
        cost: the model's cost at its input size, if known.
        golden_inputs: (n, c, h, w) float32 in [-1, 1]; parity is measured on all, the first is stored. None: seeded.
        calibration: (n, c, h, w) float32 real inputs, for integer activations.
        ios: oldest iOS for Core ML; the lowest that each precision runs on where None.
        soc: Qualcomm's name of the phone's chip for executorch-qualcomm; the target's default where None.
        floor: parity floor in dB for every entry; that of each precision where None.
        teacher: which model was the teacher, where it was not trained in the run.
        work: where finished forms wait; `.<folder>.work` beside `folder` where None.
        places: whether finished forms tell where their weights lie, for packs.
        skipped: targets whose forms are not exported, but by whoever makes a pack of this.
    """

    model: Path | ModelSource
    folder: Path
    name: str
    role: Role
    targets: Sequence[tuple[str, str | None]]
    io: Sequence[str] = ("tensor",)
    trained: bool | None = None
    quality: Mapping[str, float] = field(default_factory=dict)
    cost: Cost | None = None
    golden_inputs: np.ndarray | None = None
    calibration: np.ndarray | None = None
    ios: int | None = None
    soc: str | None = None
    floor: float | None = None
    teacher: Origin | None = None
    work: Path | None = None
    places: bool = False
    skipped: Sequence[str] = ()


def export_bundle(request: BundleRequest, workers: int = DEFAULT_WORKERS) -> Manifest:
    """Write one unpacked bundle with every form that is asked; see `export_bundles`."""
    return export_bundles([request], workers)[0]


def export_possible(
    request: BundleRequest, workers: int = DEFAULT_WORKERS
) -> tuple[Manifest, dict[str, PocketganError]]:
    """Write one unpacked bundle with those forms that can be written, and say by entry why the others cannot.

    Raises:
        PocketganError: as `export_bundles`, where no form could be written.
    """
    (plan,) = exported([request], workers)
    failures = {entry_id(*form): error for form, error in plan.failures.items()}
    if not plan.entries:
        plan.drop_empty_work()
        raise together({f"{request.name} {form}": error for form, error in failures.items()}, len(plan.forms))
    return plan.assemble(), failures


def export_bundles(requests: Sequence[BundleRequest], workers: int = DEFAULT_WORKERS) -> list[Manifest]:
    """Write unpacked bundles, all of them whole or none; all their forms share one pool of workers, the longest first.

    Every form is tried, so that all that cannot be written is told at once; what could be is kept for the next call. A
    form that an earlier call finished for the same model, golden inputs and library versions is taken as it is.
    `pocketgan.bundle.pack_folder` makes a `.pgb` of a bundle.

    Args:
        workers: processes at most; fewer where cores or free memory do not suffice.
    Raises:
        ExportError: a form that cannot be (see `check_forms`), before anything is lowered; targets that cannot express
            the model, or workers that died; or a `folder` that is neither a bundle nor empty.
        MissingExtraError: a target's packages are not installed.
        ModelError: a source that gives no model.
        ParityError: a form below its floor, but for fresh random weights of our own families.
        StorageError: the disk is full or read-only; finished forms are kept.
    """
    plans = exported(requests, workers)
    failures = {
        f"{plan.request.name} {entry_id(*form)}": error for plan in plans for form, error in plan.failures.items()
    }
    if failures:
        for plan in plans:
            plan.drop_empty_work()
        raise together(failures, sum(len(plan.forms) for plan in plans))
    return [plan.assemble() for plan in plans]


def exported(
    requests: Sequence[BundleRequest],
    workers: int,
    then: Callable[[Pool | ThisProcess, list[Plan]], None] | None = None,
) -> list[Plan]:
    """Plans whose forms have been tried; see `export_bundles`.

    Args:
        then: what else the same workers do, once they have.
    """
    plans = [Plan(request) for request in requests]
    for plan in plans:
        recover_folder(plan.folder)
        must_be_replaceable(plan.folder)
        with storage_errors(plan.work):
            plan.work.mkdir(parents=True, exist_ok=True)
    try:
        _export_forms(plans, workers, then)
    except PocketganError:
        for plan in plans:
            plan.drop_empty_work()
        raise
    return plans


def _export_forms(
    plans: list[Plan], workers: int, then: Callable[[Pool | ThisProcess, list[Plan]], None] | None
) -> None:
    """Export what is not finished yet to the plans' work folders."""
    jobs = [(plan, form) for plan in plans for form in plan.forms if form[0] not in plan.request.skipped]
    count = len(jobs)
    with _pool(plans, workers) as pool:
        with console.progress("export", count) as progress:
            pool.run([(plan.request.name, plan.golden_task()) for plan in plans], lambda i, a: plans[i].take_golden(a))
            missing = [(plan, form) for plan, form in jobs if not plan.take_finished(form)]
            progress.advance(count - len(missing))
            missing.sort(key=lambda job: job[0].layers * find_target(job[1][0])[0].relative_time, reverse=True)

            def done(index: int, answer: Answer) -> None:
                plan, form = missing[index]
                plan.entries[form] = Entry.model_validate(answer["entry"])
                progress.advance(1, f"{plan.request.name} {entry_id(*form)} in {answer['seconds']:.0f} s")

            def failed(index: int, error: PocketganError) -> None:
                plan, form = missing[index]
                plan.failures[form] = error
                progress.advance(1, f"{plan.request.name} {entry_id(*form)} cannot be written")

            tasks = [(f"{plan.request.name} {entry_id(*form)}", plan.export_task(form)) for plan, form in missing]
            pool.run(tasks, done, failed)
        if then is not None:
            then(pool, plans)


def _pool(plans: Sequence[Plan], workers: int) -> Pool | ThisProcess:
    """Workers; this process where it alone has a model."""
    if any(plan.source.kind == "module" for plan in plans):
        return ThisProcess()
    forms = sum(len(plan.forms) for plan in plans)
    return Pool(worker_count(workers, max(forms, len(plans))))


def must_be_replaceable(folder: Path) -> None:
    """Refuse to replace a folder that pocketgan did not write.

    Raises:
        ExportError: `folder` is a file, or a folder that is neither empty nor a bundle.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ExportError(f"{folder} is a file; --out names the folder of the bundle, or a .pgb file")
    if any(folder.iterdir()) and not (folder / "manifest.json").is_file():
        raise ExportError(f"{folder} holds other files than a bundle; choose a new folder")


class Plan:
    """One request on its way: what its workers are asked, and what they have answered."""

    def __init__(self, request: BundleRequest) -> None:
        self.request = request
        self.source = from_file(request.model) if isinstance(request.model, Path) else request.model
        self.folder = request.folder.absolute()
        self.work = (request.work or self.folder.with_name(f".{self.folder.name}.work")).absolute()
        chosen = check_forms(
            request.targets,
            calibrated=request.calibration is not None,
            ios=request.ios,
            soc=request.soc,
            in_this_process=self.source.kind == "module",
        )
        if not chosen:
            raise ExportError(f"{request.name} is asked for no target")
        self.forms: list[Asked] = [(*pair, io) for pair in chosen for io in request.io]
        self.entries: dict[Asked, Entry] = {}
        self.failures: dict[Asked, PocketganError] = {}
        self.layers = 1
        self._identity = ""
        self._spec: dict[str, Any] | None = None
        self._trained = False
        self._calibration: str | None = None

    def golden_task(self) -> Task:
        stored = self._stored("inputs.npy", self.request.golden_inputs)
        self._calibration = self._stored("calibration.npy", self.request.calibration)
        return golden_task(self.source.to_json(), stored, list(self.request.io), self.work)

    def _stored(self, name: str, inputs: np.ndarray | None) -> str | None:
        """The file, in the work folder, that hands inputs to the workers."""
        if inputs is None:
            return None
        with atomic_file(self.work / name) as temporary, temporary.open("wb") as file:
            np.save(file, np.ascontiguousarray(inputs, np.float32), allow_pickle=False)
        return str(self.work / name)

    def take_golden(self, answer: Answer) -> None:
        self.layers, self._identity, self._spec = answer["layers"], answer["identity"], answer["spec"]
        self._trained = answer["trained"] if self.request.trained is None else self.request.trained

    @property
    def bound(self) -> bool:
        """Whether floors bind it: everything but fresh random weights of our own families."""
        return self._trained or self._spec is None

    def drop_empty_work(self) -> None:
        """Remove the work folder if no finished form waits in it."""
        if not any(self.work.glob(f"entries/*/{ARTIFACT}")):
            shutil.rmtree(self.work, ignore_errors=True)

    def take_finished(self, form: Asked) -> bool:
        """Whether a form that is still valid waits in the work folder; it is taken then."""
        entry = read_artifact(self.form_folder(form), self._digest(form))
        if entry is not None:
            self.entries[form] = entry
        return entry is not None

    def export_task(self, form: Asked) -> Task:
        return export_task(
            self.source.to_json(),
            *form,
            golden=self.work,
            folder=self.form_folder(form),
            digest=self._digest(form),
            bound=self.bound,
            floor=self.request.floor,
            calibration=self._calibration,
            ios=self.request.ios,
            soc=self.request.soc,
            places=self.request.places,
        )

    def golden(self) -> Golden:
        """What the model makes of the golden inputs."""
        return Golden(*(np.load(self.work / name, allow_pickle=False) for name in (INPUTS, OUTPUTS)))

    def assemble(self) -> Manifest:
        """Put the written forms, golden tensors and the manifest together, and remove the work folder."""
        golden = self.golden()
        with atomic_folder(self.folder) as folder:
            for form in self.entries:
                models = self.form_folder(form) / "models"
                shutil.copytree(models, folder / "models", copy_function=link_or_copy, dirs_exist_ok=True)
            contracts = {io for *_, io in self.entries}
            sets = [write_golden(folder, golden.to(io)) for io in self.request.io if io in contracts]
            entries = [self.entries[form] for form in self.forms if form in self.entries]
            manifest = self.manifest(entries, sets, [write_notice(folder)])
            write_manifest(folder, manifest)
        shutil.rmtree(self.work, ignore_errors=True)
        return manifest

    def manifest(
        self, entries: list[Entry], golden: list[GoldenSet], licenses: list[FileRecord], **more: Any
    ) -> Manifest:
        """What a bundle of the request says of itself.

        Args:
            more: what a pack's manifest holds beside that.
        """
        request = self.request
        spec = None if self._spec is None else GeneratorSpec.from_json(self._spec)
        packages = {package for entry in entries for package in find_target(entry.target)[0].packages}
        return Manifest(
            name=request.name,
            role=request.role,
            trained=self._trained,
            spec=self._spec,
            spec_digest=None if spec is None else spec.digest,
            cost=request.cost,
            quality=dict(request.quality),
            teacher=request.teacher,
            entries=entries,
            golden=golden,
            licenses=licenses,
            created_with={"pocketgan": __version__, **versions(packages)},
            **more,
        )

    def form_folder(self, form: Asked) -> Path:
        """Where the finished form waits."""
        return self.work / "entries" / entry_id(*form)

    def _digest(self, form: Asked) -> str:
        return sha256_json(
            {
                "export": EXPORT_VERSION,
                "model": self._identity,
                "form": form,
                "floor": self.request.floor,
                "calibration": None if self._calibration is None else sha256_file(Path(self._calibration)),
                "ios": self.request.ios,
                "soc": self.request.soc,
                "bound": self.bound,
                **({"places": True} if self.request.places else {}),
                "versions": versions(find_target(form[0])[0].packages),
            }
        )


def write_notice(folder: Path) -> FileRecord:
    """Put the licence of what pocketgan wrote into a bundle."""
    path = folder / "LICENSES" / "pocketgan.txt"
    path.parent.mkdir()
    path.write_text(NOTICE)
    return record_file(folder, "LICENSES/pocketgan.txt")


def link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
