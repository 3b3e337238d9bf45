"""Bundles on this host without a stopwatch: compare entries with their golden outputs, and run one on pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from pocketgan.bench.devices.device import Device
from pocketgan.bench.jobs import runnable_entries
from pocketgan.bench.runners.picture import is_picture, to_picture, to_tensor
from pocketgan.bench.runners.planning import plan_model, why_not_here
from pocketgan.bench.runners.process import make_engine
from pocketgan.bundle.manifest import Entry, Manifest, TensorSpec
from pocketgan.bundle.named_files import must_name_own_files
from pocketgan.bundle.reader import Bundle, open_bundle
from pocketgan.errors import BundleError, DataError
from pocketgan.scratch import scratch_folder
from pocketgan.targets import RUNTIMES, runs_on_host


def verify_bundle(path: Path, device: Device, entry_id: str | None = None) -> list[str]:
    """Run every entry that `device` can run, or the one of that id, and compare with its golden outputs.

    Returns:
        Problems, each beginning with its entry id; empty where all agree.
    Raises:
        BundleError: the bundle is damaged.
        DeviceError: the device can run none of its entries.
    """
    with open_bundle(path) as bundle:
        entries = [entry.id for entry in runnable_entries(bundle, device, entry_id)]
        problems = device.check([(bundle, entry) for entry in entries])
        below = _below_their_floors(bundle.manifest, entry_id)
    return [*below, *(f"{entry}: {problem}" for entry, own in zip(entries, problems, strict=True) for problem in own)]


def _below_their_floors(manifest: Manifest, entry_id: str | None) -> list[str]:
    """Entries that were written though they do not compute what their source computes."""
    if not manifest.must_meet_floors():
        return []
    entries = [entry for entry in manifest.entries if entry_id in (None, entry.id)]
    return [
        f"{entry.id}: {entry.parity.psnr_db:.1f} dB from its source module where it was exported, below its floor of "
        f"{entry.parity.floor_db:g} dB; export it again"
        for entry in entries
        if entry.parity is not None and not entry.parity.passed
    ]


def unproven(path: Path, entry_id: str | None = None) -> dict[str, str]:
    """Entries whose agreement here proves less than it seems, by id, each with the reason.

    Raises:
        BundleError: the bundle is damaged.
    """
    reasons = {}
    with open_bundle(path) as bundle:
        manifest = bundle.manifest
    for entry in manifest.entries:
        if entry_id not in (None, entry.id):
            continue
        if not manifest.has_reference(entry):
            reasons[entry.id] = (
                f"no independent reference: its golden outputs come from {entry.runtime} itself, so that agreement "
                "says that it computes the same everywhere, not that it is right"
            )
        elif entry.unchecked is not None:
            reasons[entry.id] = f"not checked where it was exported, because {entry.unchecked}"
    return reasons


def left_out(path: Path, device: Device) -> dict[str, str]:
    """Entries that `device` cannot run, by id, each with the reason.

    Raises:
        BundleError: the bundle is damaged.
    """
    with open_bundle(path) as bundle:
        return {entry.id: why_not_here(entry) for entry in bundle.manifest.entries if not device.runs(entry)}


def runnable_entries_on_pictures(bundle: Bundle) -> list[Entry]:
    """The entries that this process runs on pictures, the best first: ONNX before ExecuTorch, float32 before others.

    Raises:
        BundleError: no entry maps one picture to one picture in a runtime that this process has.
    """
    entries = [entry for entry in bundle.manifest.entries if _runs_here(entry)]
    if not entries:
        there = ", ".join(entry.id for entry in bundle.manifest.entries)
        raise BundleError(f"{bundle.path}: no entry that turns pictures into pictures runs here; it has: {there}")
    return sorted(entries, key=lambda entry: (list(RUNTIMES).index(entry.runtime), entry.precision != "fp32"))


def runnable_entry(bundle: Bundle) -> Entry:
    """The best of them; raises as `runnable_entries_on_pictures`."""
    return runnable_entries_on_pictures(bundle)[0]


def input_size(entry: Entry) -> tuple[int, int]:
    """(height, width) in pixels of the pictures that the entry takes."""
    spec = entry.components[0].inputs[0]
    height, width = spec.shape[1:3] if spec.layout == "NHWC" else spec.shape[2:4]
    return height, width


def run_entry(
    bundle: Bundle, entry: Entry | str | None, images: Iterable[np.ndarray], threads: int = 1
) -> Iterator[np.ndarray]:
    """Run an entry on pictures, one after the other, in this process.

    Args:
        entry: an entry of the bundle, its id, or None for the one that runs best here.
        images: (h, w, 3) uint8 RGB of the entry's own size (see input_size).
    Yields:
        One (h, w, 3) uint8 RGB picture for each, or (h, w, 1) where the entry gives grey ones.
    Raises:
        BundleError: there is no such entry, or it does not turn one picture into one picture here.
        DataError: a picture of another shape.
        MissingExtraError: the entry's runtime is not installed.
    """
    chosen = runnable_entry(bundle) if entry is None else _find(bundle, entry)
    target = picture_output(chosen)
    with loaded_entry(bundle, chosen, threads) as compute:
        for image in images:
            yield to_picture(compute(image), target)


@contextmanager
def loaded_entry(bundle: Bundle, entry: Entry, threads: int = 1) -> Iterator[Callable[[np.ndarray], np.ndarray]]:
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
        bundle.extract(Path(folder) / "entry", entry.id)
        model = plan_model(bundle, entry, Path(folder) / "entry")
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


def _find(bundle: Bundle, entry: Entry | str) -> Entry:
    if isinstance(entry, Entry):
        return entry
    try:
        return bundle.manifest.entry(entry)
    except KeyError:
        there = ", ".join(one.id for one in bundle.manifest.entries)
        raise BundleError(f"{bundle.path}: has no entry {entry}; it has: {there}") from None


def _runs_here(entry: Entry) -> bool:
    runtime = RUNTIMES.get(entry.runtime)
    if runtime is None or not runtime.fits_system:
        return False
    return runs_on_host(entry.target, entry.runtime) and _maps_pictures(entry)


def _maps_pictures(entry: Entry) -> bool:
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
