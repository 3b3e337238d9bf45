"""What is known of the targets that a network is exported to, and of the runtimes that load their files.

Facts alone, for everybody: recipes and help name what there is, the doctor what is missing, devices what they can run,
reports what it is called. How a target writes its files is in `pocketgan.export.targets`, how a runtime is driven in
`pocketgan.bench.runners`.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pocketgan.errors import ExportError, require

# Devices that the files of some targets are for, as people call them.
APPLE, ANDROID = "an iPhone or a Mac", "an Android phone"
# Contracts of what goes in and comes out: float32 NCHW in [-1, 1]; uint8 NHWC, RGB in [0, 255], as cameras give and
# screens take it.
IO = ("tensor", "image")
# Systems that Core ML's files are written for.
IOS = (16, 17, 18)
# Chip that executorch-qualcomm compiles for where none is named: Snapdragon 8 Gen 3.
DEFAULT_SOC = "SM8650"
# Qualcomm's SDK: the environment variable that names its folder, and where in it the libraries for this host are.
QNN_VARIABLE, QNN_LIBRARIES = "QNN_SDK_ROOT", "lib/x86_64-linux-clang"
# The target of other people's ExecuTorch programs that no delegate takes anything of.
PORTABLE = "executorch-portable"


@dataclass(frozen=True)
class Runtime:
    """What loads a model file.

    Attributes:
        name: its name everywhere (`manifest.Entry.runtime`), also of the module that runs it.
        label: as its makers write it.
        modules: what running it on this host imports.
        extra: brings them; None where every installation has them.
        system: the one `sys.platform` that has it, where not all do.
    """

    name: str
    label: str
    modules: tuple[str, ...]
    extra: str | None = None
    system: str | None = None

    @property
    def fits_system(self) -> bool:
        """Whether this system can have it."""
        return self.system in (None, sys.platform)

    @property
    def installed(self) -> bool:
        """Whether it is here."""
        return self.fits_system and all(importlib.util.find_spec(module) for module in self.modules)

    def check_installed(self) -> None:
        """Raises MissingExtraError where a package that it needs is missing."""
        if self.extra is not None:
            require(self.extra, *self.modules)


def qualcomm_sdk() -> Path:
    """Folder of Qualcomm's SDK.

    Raises:
        ExportError: there is none, or it does not run on this host; says what to install and which variable to set.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise ExportError("executorch-qualcomm is lowered on Linux x86-64 only: Qualcomm's libraries run nowhere else")
    value = os.environ.get(QNN_VARIABLE)
    if not value:
        raise ExportError(
            "executorch-qualcomm needs Qualcomm's AI Engine Direct SDK (QNN): install it from Qualcomm and set "
            f"{QNN_VARIABLE} to its folder"
        )
    if not (Path(value) / QNN_LIBRARIES / "libQnnHtp.so").is_file():
        raise ExportError(
            f"{QNN_VARIABLE} is {value}, which holds no {QNN_LIBRARIES}/libQnnHtp.so: set it to the folder of "
            "Qualcomm's AI Engine Direct SDK (QNN)"
        )
    return Path(value)


@dataclass(frozen=True, kw_only=True)
class TargetFacts:
    """One exported form.

    Attributes:
        name: its name everywhere.
        label: for people, behind "export to".
        runtime: name of what loads its files.
        precisions, default_precision: what it can be asked for.
        calibrated: those that take ranges of activations from real inputs.
        ladder: what mixed precision chooses from for each layer, the least precise first; empty where it cannot.
        modules, extra: what writing its files imports, and the extra that brings it.
        packages: distributions whose version decides about its bytes: that write the file, or compute what it stores.
        checked_by: what computes its outputs on this host, for parity; None where nothing does.
        on_host: whether any host that has the runtime runs its files, with no phone's accelerator.
        place: the devices that its files are for; None where any that has the runtime takes them.
        delegate: ExecuTorch's name of the backend that its programs call.
        layers_per_shape: how many layers of each shape are timed on this host for a latency model; 0 where none can be.
        sdk: finds the folder that it needs besides Python's packages, or raises ExportError.
    """

    name: str
    label: str
    runtime: str
    precisions: tuple[str, ...]
    default_precision: str
    calibrated: tuple[str, ...] = ()
    ladder: tuple[str, ...] = ()
    modules: tuple[str, ...]
    extra: str = "export"
    packages: tuple[str, ...]
    checked_by: str | None = None
    on_host: bool = True
    place: str | None = None
    delegate: str | None = None
    layers_per_shape: int = 0
    sdk: Callable[[], Path] | None = None

    def check_installed(self) -> None:
        """Find out whether this host can write its files; nothing is imported.

        Raises:
            MissingExtraError: a package is missing; names the extra that brings it.
            ExportError: something else is missing; says what to install.
        """
        if self.sdk is not None:
            self.sdk()
        require(self.extra, *self.modules)


# The one that is preferred comes first.
_RUNTIMES = (
    Runtime("onnxruntime", "ONNX Runtime", ("onnxruntime",)),
    Runtime("executorch", "ExecuTorch", ("executorch", "torch"), "export"),
    Runtime("torch", "PyTorch", ("torch",), "export"),
    Runtime("coreml", "Core ML", ("coremltools",), "export", "darwin"),
    Runtime("coreai", "Core AI", ("coreai",), "coreai"),
)
_EXECUTORCH = ("torch", "executorch")
# torchao has pt2e, which quantises graphs for ExecuTorch's backends and for Core ML.
_EXECUTORCH_PACKAGES = ("torch", "executorch", "torchao")
_TARGETS = (
    TargetFacts(
        name="onnx",
        label="ONNX",
        runtime="onnxruntime",
        precisions=("fp32", "fp16", "int8", "mixed"),
        default_precision="fp32",
        calibrated=("int8", "mixed"),
        ladder=("int8", "fp32"),
        modules=("torch", "onnx", "onnxscript", "onnxruntime"),
        # torch's exporter builds, folds and writes the graph with onnxscript and onnx-ir; ONNX Runtime quantises it.
        packages=("torch", "onnx", "onnx-ir", "onnxscript", "onnxruntime"),
        checked_by="onnxruntime",
        layers_per_shape=6,
    ),
    TargetFacts(
        name="executorch-xnnpack",
        label="ExecuTorch",
        runtime="executorch",
        precisions=("fp32", "fp16", "int8", "mixed"),
        default_precision="fp32",
        calibrated=("int8", "mixed"),
        ladder=("int8", "fp32"),
        modules=_EXECUTORCH,
        packages=_EXECUTORCH_PACKAGES,
        checked_by="executorch",
        delegate="XnnpackBackend",
        layers_per_shape=4,
    ),
    TargetFacts(
        name="coreml",
        label="Core ML",
        runtime="coreml",
        precisions=("fp32", "fp16", "int8", "w8a8", "8bit", "6bit", "4bit", "int4", "mixed"),
        default_precision="fp16",
        calibrated=("w8a8",),
        ladder=("4bit", "6bit", "8bit", "fp16"),
        modules=("torch", "coremltools"),
        # scikit-learn's k-means makes the palettes; w8a8 is annotated by ExecuTorch's quantizer, in torchao's pt2e.
        packages=("torch", "coremltools", "scikit-learn", "executorch", "torchao"),
        checked_by="coreml",
        place=APPLE,
    ),
    TargetFacts(
        name="coreai",
        label="Core AI",
        runtime="coreai",
        precisions=("fp32", "fp16"),
        default_precision="fp16",
        modules=("torch", "coreai", "coreai_torch"),
        extra="coreai",
        packages=("torch", "coreai-core", "coreai-torch"),
        checked_by="coreai",
        place=APPLE,
    ),
    TargetFacts(
        name="executorch-coreml",
        label="ExecuTorch's Core ML delegate",
        runtime="executorch",
        precisions=("fp32", "fp16", "int8"),
        default_precision="fp16",
        calibrated=("int8",),
        modules=(*_EXECUTORCH, "coremltools"),
        packages=(*_EXECUTORCH_PACKAGES, "coremltools"),
        checked_by="executorch-coreml",
        on_host=False,
        place=APPLE,
        delegate="CoreMLBackend",
    ),
    TargetFacts(
        name="executorch-vulkan",
        label="ExecuTorch's Vulkan delegate",
        runtime="executorch",
        precisions=("fp32", "fp16"),
        default_precision="fp16",
        modules=_EXECUTORCH,
        packages=_EXECUTORCH_PACKAGES,
        on_host=False,
        place=ANDROID,
        delegate="VulkanBackend",
    ),
    TargetFacts(
        name="executorch-qualcomm",
        label="Qualcomm's delegate",
        runtime="executorch",
        precisions=("fp16", "int8"),
        default_precision="fp16",
        calibrated=("int8",),
        # ExecuTorch's backend imports the last two and does not declare them.
        modules=(*_EXECUTORCH, "cpuinfo", "requests"),
        extra="qualcomm",
        packages=_EXECUTORCH_PACKAGES,
        on_host=False,
        place=ANDROID,
        delegate="QnnBackend",
        sdk=qualcomm_sdk,
    ),
    TargetFacts(
        name="torch",
        label="PyTorch",
        runtime="torch",
        precisions=("fp32",),
        default_precision="fp32",
        modules=("torch",),
        packages=("torch",),
        checked_by="torch",
    ),
)
RUNTIMES = {runtime.name: runtime for runtime in _RUNTIMES}
TARGETS = {facts.name: facts for facts in _TARGETS}
# Every precision that a target has, and those of them that some target calibrates.
PRECISIONS = tuple(dict.fromkeys(precision for facts in _TARGETS for precision in facts.precisions))
CALIBRATED = tuple(dict.fromkeys(precision for facts in _TARGETS for precision in facts.calibrated))
# Those whose latency can be predicted and measured on this host.
TIMED = tuple(facts.name for facts in _TARGETS if facts.layers_per_shape)


def find_facts(name: str, precision: str | None = None) -> tuple[TargetFacts, str]:
    """The target of that name and its precision, the default where `precision` is None.

    Raises:
        ExportError: there is no such target, or it has no such precision; names those that there are.
    """
    if name not in TARGETS:
        raise ExportError(f"there is no target {name!r}; there are {', '.join(TARGETS)}")
    facts = TARGETS[name]
    if precision is None:
        return facts, facts.default_precision
    if precision not in facts.precisions:
        raise ExportError(f"target {name} has no precision {precision!r}; it has {', '.join(facts.precisions)}")
    return facts, precision


def pairs(targets: Sequence[str], precisions: Sequence[str] | None) -> list[tuple[str, str | None]]:
    """Every target with each of the precisions that it has.

    Raises:
        ExportError: an unknown target, a precision that none of them has, or a target that has none of them.
    """
    asked = [find_facts(target.strip())[0] for target in targets]
    if precisions is None:
        return [(facts.name, None) for facts in asked]
    names = [precision.strip() for precision in precisions]
    for precision in names:
        if not any(precision in facts.precisions for facts in asked):
            has = "; ".join(f"{facts.name} has {', '.join(facts.precisions)}" for facts in asked)
            raise ExportError(f"none of the targets has precision {precision!r}: {has}")
    for facts in asked:
        if not set(names) & set(facts.precisions):
            find_facts(facts.name, names[0])
    return [(facts.name, precision) for facts in asked for precision in names if precision in facts.precisions]


def runs_on_host(target: str, runtime: str) -> bool:
    """Whether a host that has the runtime runs files of the target; of delegates that are not known here, none."""
    if target in TARGETS:
        return TARGETS[target].on_host
    return runtime != "executorch" or target == PORTABLE


def place_of(target: str) -> str | None:
    """The devices that files of the target are for; None where any takes them, or the target is unknown."""
    return TARGETS[target].place if target in TARGETS else None


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Of those packages that are installed, without the builds' names: 2.13.0+cu130 is 2.13.0."""
    from importlib import metadata  # takes longer to import than `--help` may lose

    installed = {}
    for package in sorted(packages):
        try:
            installed[package] = metadata.version(package).partition("+")[0]
        except metadata.PackageNotFoundError:
            continue
    return installed
