"""What measured times belong to: an exported form, a number of threads, and this host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pocketgan.errors import DeviceError
from pocketgan.targets import TIMED, find_facts, versions

CACHE_FORMAT = 2


@dataclass(frozen=True)
class Platform:
    """What times belong to."""

    target: str
    threads: int = 1

    @property
    def runtime(self) -> str:
        return find_facts(self.target)[0].runtime

    def identity(self) -> dict[str, Any]:
        """All that times depend on but the network."""
        from pocketgan.export.targets import find_target
        from pocketgan.processor import cpu_name

        target, precision = find_target(self.target)
        return {
            "format": CACHE_FORMAT,
            "device": cpu_name(),
            "target": target.name,
            "precision": precision,
            "rewrites": list(target.rewrites),
            "versions": versions(target.packages),
            "threads": self.threads,
        }


def check_platform(platform: Platform) -> None:
    """Raises ExportError or DeviceError where this host cannot time the target."""
    from pocketgan.bench.devices.local import LocalDevice

    target, _ = find_facts(platform.target)
    if target.name not in TIMED:
        raise DeviceError(
            f"latency on {target.name} can be measured on a Mac or a phone only, not on this host; "
            f"here --target takes {', '.join(TIMED)}"
        )
    target.check_installed()
    if target.runtime not in LocalDevice().runtimes:
        raise DeviceError(f"the runtime {target.runtime} is not installed here: pip install 'pocketgan[export]'")
    if platform.threads < 1:
        raise DeviceError(f"--threads is at least 1, not {platform.threads}")
