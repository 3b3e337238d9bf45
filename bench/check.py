"""Bundles on this host without a stopwatch: compare entries with their golden outputs, and run one on pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from pocketgan.bench.devices.device import Device
from pocketgan.bench.jobs import EVERY_CONCEPT, drawn_entries, must_have_concepts
from pocketgan.bench.naming import drawn_name
from pocketgan.bench.runners.picture import is_picture, to_picture, to_tensor
from pocketgan.bench.runners.planning import plan_model, why_not_here
from pocketgan.bench.runners.process import make_engine
from pocketgan.bundle.manifest import Entry, Manifest, TensorSpec
from pocketgan.bundle.named_files import must_name_own_files
from pocketgan.bundle.reader import Bundle, open_bundle
from pocketgan.errors import BundleError, DataError
from pocketgan.scratch import scratch_folder
from pocketgan.targets import RUNTIMES, runs_on_host


def verify_bundle(
    path: Path, device: Device, entry_id: str | None = None, concepts: Sequence[str] = (EVERY_CONCEPT,)
) -> list[str]:
    """Run every entry that `device` can run, or the one of that id, and compare with its golden outputs.

    Args:
        concepts: of a pack, which (see JobOptions); all where nobody says otherwise.
    Returns:
        Problems, each beginning with its entry id, in a pack with its concept; empty where all agree.
    Raises:
        BundleError: the bundle is damaged, or has no such concept.
        DeviceError: the device can run none of its entries.
    """
    with open_bundle(path) as bundle:
        must_have_concepts([bundle], [] if concepts == (EVERY_CONCEPT,) else concepts)
        drawn = [(entry.id, one) for entry, one in drawn_entries(bundle, device, entry_id, concepts)]
        problems = device.check([(bundle, entry, concept) for entry, concept in drawn])
        below = _below_their_floors(bundle.manifest, entry_id, concepts)
    return [
        *below,
        *(f"{drawn_name(*of)}: {problem}" for of, own in zip(drawn, problems, strict=True) for problem in own),
    ]


def _every_drawn(
    manifest: Manifest, entry_id: str | None, concepts: Sequence[str] = (EVERY_CONCEPT,)
) -> Iterator[tuple[str, Entry]]:
    """Names and entries, of a pack as each of the concepts is drawn, whether they run here or not."""
    for entry in manifest.entries:
        concepts_of: list[str | None] = [*manifest.concepts_of(entry.id)] or [None]
        for concept in concepts_of:
            asked = concept is None or EVERY_CONCEPT in concepts or concept in concepts
            if entry_id in (None, entry.id) and asked:
                yield drawn_name(entry.id, concept), manifest.entry(entry.id, concept)


def _below_their_floors(manifest: Manifest, entry_id: str | None, concepts: Sequence[str]) -> list[str]:
    """Entries that were written though they do not compute what their source computes."""
    if not manifest.must_meet_floors():
        return []
    return [
        f"{name}: {entry.parity.psnr_db:.1f} dB from its source module where it was exported, below its floor of "
        f"{entry.parity.floor_db:g} dB; export it again"
        for name, entry in _every_drawn(manifest, entry_id, concepts)
        if entry.parity is not None and not entry.parity.passed
    ]


def unproven(path: Path, entry_id: str | None = None, concepts: Sequence[str] = (EVERY_CONCEPT,)) -> dict[str, str]:
    """Entries whose agreement here proves less than it seems, by id and concept, each with the reason.

    Raises:
        BundleError: the bundle is damaged.
    """
    reasons = {}
    with open_bundle(path) as bundle:
        manifest = bundle.manifest
    for name, entry in _every_drawn(manifest, entry_id, concepts):
        if not manifest.has_reference(entry):
            reasons[name] = (
                f"no independent reference: its golden outputs come from {entry.runtime} itself, so that agreement "
                "says that it computes the same everywhere, not that it is right"
            )
        elif entry.unchecked is not None:
            reasons[name] = f"not checked where it was exported, because {entry.unchecked}"
    return reasons


def left_out(path: Path, device: Device) -> dict[str, str]:
    """Entries that `device` cannot run, by id, each with the reason.

    Raises:
        BundleError: the bundle is damaged.
    """
    with open_bundle(path) as bundle:
        return {entry.id: why_not_here(entry) for entry in bundle.manifest.entries if not device.runs(entry)}


def runnable_entries_on_pictures(bundle: Bundle, concept: str | None = None) -> list[Entry]:
    """The entries that this process runs on pictures, the best first: ONNX before ExecuTorch, float32 before others.

    Args:
        concept: which of a pack's they must draw; its default where None.
    Raises:
        BundleError: no entry maps one picture to one picture in a runtime that this process has, or there is no such
            concept.
    """
    if concept is not None:
        bundle.must_have_concept(concept)
    drawing = [e for e in bundle.manifest.entries if concept is None or concept in bundle.manifest.concepts_of(e.id)]
    entries = [entry for entry in drawing if _runs_here(entry)]
    if not entries:
        there = ", ".join(entry.id for entry in bundle.manifest.entries)
        draws = "" if concept is None else f" and draws {concept}"
        raise BundleError(
            f"{bundle.path}: no entry that turns pictures into pictures{draws} runs here; it has: {there}"
        )
    return sorted(entries, key=lambda entry: (list(RUNTIMES).index(entry.runtime), entry.precision != "fp32"))


def runnable_entry(bundle: Bundle, concept: str | None = None) -> Entry:
    """The best of them; raises as `runnable_entries_on_pictures`."""
    return runnable_entries_on_pictures(bundle, concept)[0]


def input_size(entry: Entry) -> tuple[int, int]:
    """(height, width) in pixels of the pictures that the entry takes."""
    spec = entry.components[0].inputs[0]
    height, width = spec.shape[1:3] if spec.layout == "NHWC" else spec.shape[2:4]
    return height, width


def run_entry(
    bundle: Bundle,
    entry: Entry | str | None,
    images: Iterable[np.ndarray],
    threads: int = 1,
    concept: str | None = None,
) -> Iterator[np.ndarray]:
    """Run an entry on pictures, one after the other, in this process.

    Args:
        entry: an entry of the bundle, its id, or None for the one that runs best here.
        images: (h, w, 3) uint8 RGB of the entry's own size (see input_size).
        concept: of a pack; its default where None.
    Yields:
        One (h, w, 3) uint8 RGB picture for each, or (h, w, 1) where the entry gives grey ones.
    Raises:
        BundleError: there is no such entry or concept, or it does not turn one picture into one picture here.
        DataError: a picture of another shape.
        MissingExtraError: the entry's runtime is not installed.
    """
    if entry is None:
        entry = runnable_entry(bundle, concept)
    chosen = bundle.entry(entry if isinstance(entry, str) else entry.id, concept)
    target = picture_output(chosen)
    with loaded_entry(bundle, chosen, threads, concept) as compute:
        for image in images:
            yield to_picture(compute(image), target)


@contextmanager
def loaded_entry(
    bundle: Bundle, entry: Entry, threads: int = 1, concept: str | None = None
) -> Iterator[Callable[[np.ndarray], np.ndarray]]:
    """Yield the entry as a function, in this process, from pictures to output tensors.

    It takes (h, w, 3) uint8 RGB and gives the tensor as the runtime does, which the next call may overwrite;
    `picture_output` is its contract.

    Raises:
        BundleError, DataError, MissingExtraError: as `run_entry`.
    """
    if not _runs_here(entry):
        raise BundleError(f"{bundle.path}: entry {entry.id} does not turn pictures into pictures on this host")
    source = entry.components[0].inputs[0]
    expected = (*input_size(entry), 3)
    with scratch_folder() as folder:
        drawn = bundle.entry(entry.id, concept)
        bundle.extract(folder / "entry", entry.id, concept=concept or bundle.manifest.default_concept)
        model = plan_model(bundle, drawn, folder / "entry")
        must_name_own_files(entry.runtime, Path(model.file))
        engine = make_engine(entry.runtime)
        engine.start(threads)
        run = engine.load(model)

        def compute(image: np.ndarray) -> np.ndarray:
            if image.shape != expected or image.dtype != np.uint8:
                raise DataError(
                    f"entry {entry.id} takes pictures of shape {expected} in uint8, not {image.shape} in {image.dtype}"
                )
            return run({source.name: to_tensor(image, source)})[0]

        yield compute


def _runs_here(entry: Entry) -> bool:
    runtime = RUNTIMES.get(entry.runtime)
    if runtime is None or not runtime.fits_system:
        return False
    return runs_on_host(entry.target, entry.runtime) and maps_pictures(entry)


def maps_pictures(entry: Entry) -> bool:
    """Whether an entry makes one picture of one picture, whatever runs it."""
    if len(entry.components) != 1:
        return False
    component = entry.components[0]
    if len(component.inputs) != 1 or len(component.outputs) != 1:
        return False
    source, target = component.inputs[0], component.outputs[0]
    return is_picture(source) and len(source.shape) == 4 and (is_picture(target) or _is_grey(target))


def _is_grey(spec: TensorSpec) -> bool:
    """Whether a tensor can be a picture of one channel; no colour space says so."""
    return len(spec.shape) == 4 and spec.shape[0] == 1 and 1 in (spec.shape[1], spec.shape[3])


def picture_output(entry: Entry) -> TensorSpec:
    """The contract of the output as a picture; a grey one without a range of its own has the input's."""
    source, target = entry.components[0].inputs[0], entry.components[0].outputs[0]
    if is_picture(target):
        return target
    layout = target.layout or ("NCHW" if target.shape[1] == 1 else "NHWC")
    return target.model_copy(update={"layout": layout, "value_range": target.value_range or source.value_range})
