"""Bundles of a base and its concepts: the networks are exported one by one, then joined, by the same workers."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pocketgan import console
from pocketgan.bundle.manifest import Concept, Entry, GoldenSet, Manifest
from pocketgan.bundle.packing import write_manifest
from pocketgan.bundle.tensors import store_tensor
from pocketgan.errors import ExportError, PocketganError
from pocketgan.export.bundles import (
    DEFAULT_WORKERS,
    Asked,
    BundleRequest,
    Plan,
    exported,
    link_or_copy,
    write_notice,
)
from pocketgan.export.entry import entry_id
from pocketgan.export.exchange import Answer
from pocketgan.export.forms import together
from pocketgan.export.golden import Golden, write_golden
from pocketgan.export.packs.coreml import LEAST_IOS
from pocketgan.export.packs.joining import form_of
from pocketgan.export.pool import Pool, ThisProcess
from pocketgan.export.targets import find_target
from pocketgan.export.targets.target import INPUT, OUTPUT
from pocketgan.export.worker import join_task
from pocketgan.files import atomic_folder, sha256_file

# What can be shared between concepts: integers and palettes are chosen anew for every network.
PRECISIONS = {"onnx": ("fp32",), "executorch-xnnpack": ("fp32",), "coreml": ("fp16", "fp32")}

# Targets whose packs are made of the networks themselves; of the default concept's file they take what is known of it.
JOINED_ALONE = ("coreml",)


@dataclass(frozen=True)
class PackedConcept:
    """A network of the pack.

    Attributes:
        name, text, adapter: see `bundle.manifest.Concept`.
        model: file of the base with the adapter merged into it.
    """

    name: str
    text: str
    adapter: str | None
    model: Path


@dataclass(frozen=True)
class PackRequest:
    """One pack to write.

    Attributes:
        bundle: what is asked; its model is the base, which is in no entry, but gives the weights that are shared.
        concepts: in their order in the manifest.
        default: name of the one that the entries draw as they stand.
    """

    bundle: BundleRequest
    concepts: Sequence[PackedConcept]
    default: str


def check_pack(targets: Sequence[tuple[str, str | None]], ios: int | None = None) -> None:
    """Raises ExportError where a target, a precision or a system has no packs."""
    for name, asked in targets:
        precision = find_target(name, asked)[1]
        if precision not in PRECISIONS.get(name, ()):
            there = ", ".join(entry_id(one, kind) for one, kinds in PRECISIONS.items() for kind in kinds)
            raise ExportError(
                f"--concepts writes {there}, not {entry_id(name, precision)}; merge a concept (pocketgan merge) and "
                "export it alone"
            )
        if name == "coreml" and ios is not None and ios < LEAST_IOS:
            raise ExportError(f"Core ML's packages of several concepts need iOS {LEAST_IOS}; iOS {ios} is older")


def export_pack(request: PackRequest, workers: int = DEFAULT_WORKERS) -> tuple[Manifest, dict[str, PocketganError]]:
    """Write one unpacked bundle with those forms that all concepts can be written in; see `bundles.export_possible`.

    Raises:
        PocketganError: as `bundles.export_bundles`, where no form could be written.
    """
    check_pack(request.bundle.targets, request.bundle.ios)
    return _Pack(request).export(workers)


class _Pack:
    """A pack on its way."""

    def __init__(self, request: PackRequest) -> None:
        self._request = request
        bundle = request.bundle
        self._work = (bundle.work or bundle.folder.absolute().with_name(f".{bundle.folder.name}.work")).absolute()
        self._joined: dict[Asked, Answer] = {}
        self._failures: dict[str, PocketganError] = {}

    def export(self, workers: int) -> tuple[Manifest, dict[str, PocketganError]]:
        bundle, concepts = self._request.bundle, self._request.concepts
        base = replace(bundle, work=self._work / "base", places=True, skipped=JOINED_ALONE)
        members = [
            replace(
                base,
                model=one.model,
                name=f"{bundle.name} ({one.name})",
                work=self._work / f"concept-{one.name}",
                skipped=() if one.name == self._request.default else JOINED_ALONE,
            )
            for one in concepts
        ]
        try:
            plans = exported([base, *members], workers, self._join)
        except PocketganError:
            self._drop_empty_work()
            raise
        if not self._joined:
            for plan in plans:
                plan.drop_empty_work()
            self._drop_empty_work()
            raise together(
                {f"{bundle.name} {form}": error for form, error in self._failures.items()}, len(plans[0].forms)
            )
        manifest = self._assemble(plans)
        shutil.rmtree(self._work, ignore_errors=True)
        return manifest, self._failures

    def _join(self, pool: Pool | ThisProcess, plans: list[Plan]) -> None:
        base, members = plans[0], dict(zip((one.name for one in self._request.concepts), plans[1:], strict=True))
        forms = []
        for form in base.forms:
            failures = [plan.failures[form] for plan in plans if form in plan.failures]
            if failures:
                self._failures[entry_id(*form)] = failures[0]
            else:
                forms.append(form)
        tasks = [
            (
                f"{self._request.bundle.name} {entry_id(*form)}",
                join_task(
                    *form,
                    folder=str(self._folder(form)),
                    base=str(base.form_folder(form)),
                    source=base.source.to_json(),
                    concepts={
                        name: {
                            "export": str(plan.form_folder(form)),
                            "golden": str(plan.work),
                            "source": plan.source.to_json(),
                        }
                        for name, plan in members.items()
                    },
                    ios=self._request.bundle.ios,
                    default=self._request.default,
                    entry=members[self._request.default].entries[form].model_dump(mode="json"),
                    floor=self._request.bundle.floor,
                    bound=base.bound,
                ),
            )
            for form in forms
        ]

        def done(index: int, answer: Answer) -> None:
            self._joined[forms[index]] = answer

        def failed(index: int, error: PocketganError) -> None:
            self._failures[entry_id(*forms[index])] = error

        with console.progress("pack", len(forms) * len(members)) as progress:
            pool.run(tasks, done, failed, lambda index, name: progress.advance(1, f"{name} {entry_id(*forms[index])}"))

    def _drop_empty_work(self) -> None:
        """Remove the work folder if no finished form waits in it."""
        with suppress(OSError):
            self._work.rmdir()

    def _folder(self, form: Asked) -> Path:
        return self._work / "joined" / entry_id(*form)

    def _assemble(self, plans: list[Plan]) -> Manifest:
        members = dict(zip((one.name for one in self._request.concepts), plans[1:], strict=True))
        default = members[self._request.default]
        joined = [form for form in plans[0].forms if form in self._joined]
        contracts = {io for *_, io in joined}
        ios = [io for io in self._request.bundle.io if io in contracts]
        with atomic_folder(plans[0].folder) as folder:
            for form in joined:
                models = self._folder(form) / "models"
                shutil.copytree(models, folder / "models", copy_function=link_or_copy, dirs_exist_ok=True)
            sets = [write_golden(folder, default.golden().to(io)) for io in ios]
            for name, plan in members.items():
                if plan is not default:
                    sets += [write_concept_golden(folder, plan.golden().to(io), name) for io in ios]
            manifest = plans[0].manifest(
                [Entry.model_validate(self._joined[form]["entry"]) for form in joined],
                sets,
                [write_notice(folder)],
                concepts=[self._concept(one) for one in self._request.concepts],
                default_concept=self._request.default,
            )
            write_manifest(folder, manifest)
        return manifest

    def _concept(self, one: PackedConcept) -> Concept:
        forms = []
        if one.name != self._request.default:
            for (_, _, io), answer in self._joined.items():
                forms.append(form_of(answer["forms"][one.name], golden_id(io, one.name)))
        return Concept(name=one.name, text=one.text, adapter=one.adapter, forms=forms)


def golden_id(io: str, concept: str) -> str:
    """The golden set of a concept that is not the default."""
    empty = np.zeros(0, np.float32)
    return f"{Golden(empty, empty, io).id}-{concept}"


def write_concept_golden(folder: Path, golden: Golden, concept: str) -> GoldenSet:
    """Write a concept's first output below `folder`/golden, where the default concept's set is.

    Raises:
        StorageError: the disk is full or read-only.
    """
    name = golden_id(golden.io, concept)
    inputs = folder / "golden" / golden.id / f"{INPUT}.bin"
    digest = np.frombuffer(bytes.fromhex(sha256_file(inputs)), np.uint8)
    return GoldenSet(
        id=name,
        inputs_of=golden.id,
        inputs=[store_tensor(folder, f"golden/{name}/sha256.bin", "sha256", digest)],
        outputs=[store_tensor(folder, f"golden/{name}/{OUTPUT}.bin", OUTPUT, golden.outputs[0])],
    )
