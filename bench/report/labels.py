"""Words and numbers as people read them: rounded to what the measurement carries, always with a unit."""

from __future__ import annotations

from dataclasses import dataclass

from pocketgan.bench.camera import camera_figures
from pocketgan.bench.schema.result import DeviceInfo, Result
from pocketgan.targets import RUNTIMES

ROLES = {
    "student": "student",
    "teacher": "teacher",
    "unpruned": "unpruned",
    "diffusion": "diffusion editor",
    "foreign": "foreign model",
}
ROLE_ORDER = tuple(ROLES)


@dataclass(frozen=True)
class QualityLabel:
    """How a key of manifest.quality is called, and what it means."""

    name: str
    meaning: str


_DISTANCE = "mean absolute difference on [-1, 1] images, lower is better"
QUALITY = {
    "l1": QualityLabel("L1", f"to the target: {_DISTANCE}"),
    "teacher_l1": QualityLabel("L1 of its teacher", f"the teacher's own, to the target: {_DISTANCE}"),
    "identity_l1": QualityLabel("L1 of the untouched input", f"what doing nothing would score: {_DISTANCE}"),
    "identity_to_teacher_l1": QualityLabel(
        "L1 of the untouched input to its teacher", f"what doing nothing would score there: {_DISTANCE}"
    ),
    "to_teacher_l1": QualityLabel("L1 to its teacher", f"to the teacher's pictures: {_DISTANCE}"),
    "cycle_l1": QualityLabel("L1 there and back", f"of an image to itself after both generators: {_DISTANCE}"),
    "target": QualityLabel("Distance to target", _DISTANCE),
    "fid": QualityLabel("FID", "Fréchet inception distance, lower is better"),
    "kid": QualityLabel("KID", "kernel inception distance, lower is better"),
    "lpips": QualityLabel("LPIPS", "perceptual distance, lower is better"),
    "ssim": QualityLabel("SSIM", "structural similarity, higher is better"),
    "psnr_db": QualityLabel("PSNR, dB", "higher is better"),
    "miou": QualityLabel("mIoU", "mean intersection over union, higher is better"),
}


def quality_label(key: str) -> QualityLabel:
    """Label of a quality key; an unknown key is shown as it is written."""
    return QUALITY.get(key, QualityLabel(key.replace("_", " "), ""))


def quality_order(keys: set[str]) -> list[str]:
    """Known keys in the order of QUALITY, then the others by name."""
    known = list(QUALITY)
    return sorted(keys, key=lambda key: (known.index(key) if key in QUALITY else len(known), key))


def runtime_name(runtime: str) -> str:
    """The runtime as its makers write it."""
    return RUNTIMES[runtime].label if runtime in RUNTIMES else runtime


def device_name(device: DeviceInfo) -> str:
    """The device as people know it: a host by its processor, because every host is "local"; a browser, whose name is
    drawn, with the model before it."""
    if device.kind == "web" and device.model not in ("", "unknown"):
        return f"{device.model} ({device.name})"
    return device.cpu if device.kind == "local" else device.name


def significant(value: float, digits: int = 3) -> str:
    """`value` with about `digits` significant digits, never in exponent notation above 1e-6."""
    if value == 0:
        return "0"
    magnitude = abs(value)
    decimals = 0
    while magnitude < 10 ** (digits - 1) and decimals < 9:
        magnitude *= 10
        decimals += 1
    return f"{value:,.{decimals}f}"


def camera_notes(result: Result) -> list[str]:
    """What a rate of frames on a screen must not be read without."""
    found = camera_figures(result)
    if found is None:
        return []
    told = [f"{plural(found.dropped, 'frame')} dropped"] if found.dropped else []
    return [*told, "estimated: the system does not tell when frames are shown"] if found.estimated else told


def fps(value: float) -> str:
    """Frames per second without the unit."""
    return significant(value)


def milliseconds(value_ms: float) -> str:
    """A duration with its unit: ms below ten seconds, s above."""
    return f"{significant(value_ms / 1000)} s" if value_ms >= 10_000 else f"{significant(value_ms)} ms"


def times(ratio: float) -> str:
    """A factor, such as `9.1x` with a multiplication sign."""
    return f"{ratio:.1f}×" if ratio < 99.5 else f"{ratio:,.0f}×"


def count(value: int) -> str:
    """A large count with an SI letter, such as `4.73 G`."""
    for scale, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{significant(value / scale)} {letter}"
    return str(value)


def size(value: int) -> str:
    """Bytes in decimal units."""
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= scale:
            return f"{significant(value / scale)} {unit}"
    return f"{value} B"


def percent(fraction: float) -> str:
    """A fraction as a percentage; only what is whole is called 100 %."""
    if fraction < 1 and fraction >= 0.9995:
        return "99.9 %"
    return f"{100 * fraction:.0f} %" if fraction in (0, 1) else f"{100 * fraction:.1f} %"


NO_REFERENCE = "no independent reference"


def decibel(psnr_db: float | None) -> str:
    """PSNR; None stands for equal to the last bit."""
    return "identical" if psnr_db is None else f"{psnr_db:.1f} dB"


def plural(number: int, noun: str) -> str:
    """`1 frame`, `2,000 frames`, `3 processes`."""
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{ending}"
