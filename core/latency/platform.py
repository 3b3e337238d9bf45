"""What measured times belong to: an exported form, a number of threads, and this host."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from typing import Any

from pocketgan.errors import DeviceError

CACHE_FORMAT = 2
# The targets whose layers can be timed here, with the micro-benchmarks of each shape of layer: more where a kind has
# few shapes, fewer where it has many.
LAYERS_PER_SHAPE = {"onnx": 6, "executorch-xnnpack": 4}


@dataclass(frozen=True)
class Platform:
    """What times belong to."""

    target: str
    threads: int = 1

    @property
    def runtime(self) -> str:
        from pocketgan.export.targets import find_target

        return find_target(self.target)[0].runtime

    def identity(self) -> dict[str, Any]:
        """All that times depend on but the network."""
        from pocketgan.bench.devices.host import cpu_name
        from pocketgan.export.targets import find_target

        target, precision = find_target(self.target)
        return {
            "format": CACHE_FORMAT,
            "device": cpu_name(),
            "target": target.name,
            "precision": precision,
            "rewrites": list(target.rewrites),
            "versions": {package: metadata.version(package) for package in target.packages},
            "threads": self.threads,
        }


def check_platform(platform: Platform) -> None:
    """Raises ExportError or DeviceError where this host cannot time the target."""
    from pocketgan.bench.devices.local import LocalDevice
    from pocketgan.export.targets import find_target

    target, _ = find_target(platform.target)
    if target.name not in LAYERS_PER_SHAPE:
        raise DeviceError(
            f"latency on {target.name} can be measured on a Mac or a phone only, not on this host; "
            f"here --target takes {', '.join(LAYERS_PER_SHAPE)}"
        )
    target.check_installed()
    if target.runtime not in LocalDevice().runtimes:
        raise DeviceError(f"the runtime {target.runtime} is not installed here: pip install 'pocketgan[export]'")
    if platform.threads < 1:
        raise DeviceError(f"--threads is at least 1, not {platform.threads}")
