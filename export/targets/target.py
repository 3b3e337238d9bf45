"""What a target is: its name, what it can be asked for, and how it writes its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pocketgan.bundle.manifest import Delegation

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


@dataclass(frozen=True)
class Exported:
    """What a target wrote: `entry_point`, the file or folder that its runtime opens, relative to the entry's folder."""

    entry_point: str
    runtime_version: str
    delegation: Delegation | None = None


class Target(Protocol):
    """One exported form.

    Attributes:
        name: the target's name, everywhere.
        precisions, default_precision: what it can be asked for.
        ladder: what mixed precision chooses from for each layer, the least precise first; empty where it cannot.
        runtime: what loads its files (`manifest.Entry.runtime`).
        checked_by: what computes its outputs on this host, for parity (`parity.run_file`); None where nothing does.
        packages: distributions whose version decides about its bytes.
        rewrites: the exact rewrites that make its files faster, by measurement, in the order of their application.
        relative_time: how long it takes, roughly, ONNX being 1.
    """

    name: str
    precisions: tuple[str, ...]
    default_precision: str
    ladder: tuple[str, ...]
    runtime: str
    checked_by: str | None
    packages: tuple[str, ...]
    rewrites: tuple[str, ...]
    relative_time: float

    def check_installed(self) -> None:
        """Find out whether this host can write its files; nothing heavy is imported.

        Raises:
            MissingExtraError: a package is missing; names the extra that brings it.
            ExportError: something else is missing; says what to install.
        """
        ...

    def minimum_os(self, form: Form) -> str | None:
        """The oldest system that takes the file; None where the file itself sets no limit.

        Raises:
            ExportError: the form asks for a system that its precision does not run on.
        """
        ...

    def export(self, module: nn.Module, example: tuple[Tensor, ...], form: Form, folder: Path) -> Exported:
        """Write the files of a canonical module, which is not changed, to the empty `folder`.

        Raises:
            ExportError: the form lacks what its precision needs.
        """
        ...
