"""What a target is: what it is asked for, and how it writes its files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pocketgan.bundle.manifest import Delegation
from pocketgan.errors import ExportError
from pocketgan.targets import TargetFacts

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

INPUT, OUTPUT = "image", "output"


@dataclass(frozen=True)
class Form:
    """What a target is asked for.

    Attributes:
        precision: one of the target's.
        calibration: (n, 1, c, h, w) float32, real inputs from which integer activations take their ranges.
        ios: oldest iOS that the file is for, 16 and up; the lowest that the precision needs where None.
        io: "tensor", or "image": uint8 RGB in and out.
        layers: for "mixed" precision, that of each layer (one of the target's ladder) by the name of its weights.
        soc: Qualcomm's name of the phone's chip, such as SM8650; the target's default where None.
    """

    precision: str
    calibration: np.ndarray | None = None
    ios: int | None = None
    io: str = "tensor"
    layers: Mapping[str, str] | None = None
    soc: str | None = None


def must_have_calibration(precision: str, there: bool) -> None:
    """Raises ExportError where integer activations have no real inputs to take their ranges from."""
    if not there:
        raise ExportError(
            f"{precision} activations are calibrated on real inputs: --calibration names a folder of them"
        )


@dataclass(frozen=True)
class Exported:
    """What a target wrote: `entry_point`, the file or folder that its runtime opens, relative to the entry's folder."""

    entry_point: str
    runtime_version: str
    delegation: Delegation | None = None


class Target(ABC):
    """One exported form: how its files are written, and what is known of it.

    Attributes:
        facts: its row of `pocketgan.targets`.
        rewrites: the exact rewrites that make its files faster, by measurement, in the order of their application.
        relative_time: how long it takes, roughly, ONNX being 1.
        name, precisions, ladder, runtime, checked_by, packages: the facts'.
    """

    facts: TargetFacts
    rewrites: tuple[str, ...]
    relative_time: float

    @property
    def name(self) -> str:
        return self.facts.name

    @property
    def precisions(self) -> tuple[str, ...]:
        return self.facts.precisions

    @property
    def ladder(self) -> tuple[str, ...]:
        return self.facts.ladder

    @property
    def runtime(self) -> str:
        return self.facts.runtime

    @property
    def checked_by(self) -> str | None:
        return self.facts.checked_by

    @property
    def packages(self) -> tuple[str, ...]:
        return self.facts.packages

    def check_installed(self) -> None:
        """See TargetFacts."""
        self.facts.check_installed()

    @abstractmethod
    def minimum_os(self, form: Form) -> str | None:
        """The oldest system that takes the file; None where the file itself sets no limit.

        Raises:
            ExportError: the form asks for a system that its precision does not run on.
        """

    @abstractmethod
    def export(self, module: nn.Module, example: tuple[Tensor, ...], form: Form, folder: Path) -> Exported:
        """Write the files of a canonical module, which is not changed, to the empty `folder`.

        Raises:
            ExportError: the form lacks what its precision needs.
        """
