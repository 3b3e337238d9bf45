"""What this machine can train, export and run, and how to get the rest."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pocketgan.errors import DeviceError, ExportError, PocketganError
from pocketgan.processor import cpu_features, cpu_name, fast_bf16
from pocketgan.targets import RUNTIMES, TARGETS, Runtime, TargetFacts

_PARTS = (
    ("train", "train and search", ("torch", "accelerate", "safetensors", "tensorboard", "cv2", "skimage", "sklearn")),
    ("adapt", "adapt a base to concepts (LoRA)", ("torch", "accelerate", "safetensors", "peft")),
    ("quality", "measure FID, KID, LPIPS and mIoU", ("torch", "torchvision", "cleanfid", "lpips", "scipy")),
    ("text", "read the texts of concepts", ("torch", "transformers", "safetensors")),
    ("cluster", "spread trainings over workers (Dask)", ("dask", "distributed")),
    (None, "sign bundles", ("cryptography",)),
)

# NVIDIA's Ampere, the first with bfloat16 in its tensor cores.
_BF16_CAPABILITY = 8.0


@dataclass(frozen=True)
class Finding:
    """One thing that works here, or what to do so that it does.

    Attributes:
        optional: not part of every installation: an extra, a vendor's SDK, another system's runtime. Nothing is wrong
            where it is missing.
    """

    what: str
    ok: bool
    detail: str
    optional: bool = False


def findings() -> list[Finding]:
    """Everything that `pocketgan doctor` says. Nothing heavy is imported."""
    everything = [
        Finding(
            "Python",
            (3, 11) <= sys.version_info[:2] < (3, 14),
            f"{platform.python_version()} (3.11 to 3.13 are supported)",
        ),
        Finding("cores", True, f"{os.cpu_count()}"),
        Finding("free disk", True, f"{shutil.disk_usage(Path.cwd()).free / 1e9:.0f} GB here"),
    ]
    everything += [_packages(what, extra, modules) for extra, what, modules in _PARTS]
    everything.append(bf16_training())
    everything += [_target(facts) for facts in TARGETS.values()]
    everything += [_runtime(runtime) for runtime in RUNTIMES.values()]
    everything += [phones(), phone_app(), phone_runner(), browsers()]
    pair = _pair_problem()
    everything.append(Finding("torch and torchvision agree", pair is None, pair or "yes"))
    return everything


def check_torch_pair() -> None:
    """Raises PocketganError where torch and torchvision are of two builds, which breaks every import of torchvision."""
    problem = _pair_problem()
    if problem:
        raise PocketganError(problem)


def _packages(what: str, extra: str | None, modules: tuple[str, ...]) -> Finding:
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    install = "pip install --force-reinstall pocketgan" if extra is None else f"pip install 'pocketgan[{extra}]'"
    detail = f"missing {', '.join(missing)}: {install}" if missing else _versions(modules)
    return Finding(what, not missing, detail, optional=extra is not None)


def bf16_training() -> Finding:
    """Whether `precision: bf16` makes a training faster here, by what the GPU or else the processor can do."""
    pays, why = _bf16_on_gpu() or _bf16_on_processor()
    return Finding("train faster with precision: bf16", pays, why, optional=True)


def _bf16_on_gpu() -> tuple[bool, str] | None:
    """Whether it pays, and why; None where torch would not train on an NVIDIA GPU."""
    found = _first_gpu() if _build("torch") != "cpu" else None
    if found is None:
        return None
    name, capability = found
    if capability >= _BF16_CAPABILITY:
        return True, f"pays on this GPU ({name})"
    return False, f"does not pay on this GPU ({name}), which has no bfloat16 units: leave precision at fp32"


def _bf16_on_processor() -> tuple[bool, str]:
    fast = fast_bf16()
    if fast == "AMX":
        return True, f"pays on this processor ({cpu_name()}), which has AMX: about three times as fast as fp32"
    if fast is not None:
        text = "has AVX-512 BF16 and no AMX: on an Intel so it took 1.5 times as long as fp32; compare a few steps"
        return False, f"may not pay on this processor ({cpu_name()}), which {text}"
    if not cpu_features():
        return (
            False,
            f"unknown: this system does not tell what its processor ({cpu_name()}) can do; compare a few steps",
        )
    return False, f"does not pay on this processor ({cpu_name()}), which has neither AMX nor AVX-512 BF16: use fp32"


def _first_gpu() -> tuple[str, float] | None:
    """Name and compute capability of the first NVIDIA GPU, as its driver's own tool tells them; None without one."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    query = [tool, "--query-gpu=name,compute_cap", "--format=csv,noheader"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
        name, capability = told.splitlines()[0].rsplit(",", 1)
        return name.strip(), float(capability)
    except (OSError, subprocess.SubprocessError, IndexError, ValueError):
        return None


def _target(facts: TargetFacts) -> Finding:
    what = f"export to {facts.label}"
    if facts.sdk is not None:
        try:
            facts.sdk()
        except ExportError as problem:
            return Finding(what, False, str(problem), optional=True)
    return _packages(what, facts.extra, facts.modules)


def _runtime(runtime: Runtime) -> Finding:
    what = f"measure {runtime.label} entries"
    if not runtime.fits_system:
        place = next(facts.place for facts in TARGETS.values() if facts.runtime == runtime.name)
        return Finding(what, False, f"needs {place}", optional=True)
    return _packages(what, runtime.extra, runtime.modules)


def phones() -> Finding:
    """Whether phones can be seen; asks adb its version, and starts no server."""
    from pocketgan.bench.devices.adb import find_adb

    what = "see Android phones"
    try:
        adb = find_adb()
        version = adb.version
    except DeviceError as problem:
        return Finding(what, False, str(problem), optional=True)
    pairs = "" if adb.pairs else "; it cannot pair over Wi-Fi, which adb 30 and newer can"
    return Finding(what, True, f"adb {version} ({adb.path}){pairs}; pocketgan devices lists them", optional=True)


def phone_app() -> Finding:
    """Whether there is what measures in a phone's app."""
    from pocketgan.bench.devices.phone_app import find_app

    what = "measure in an Android phone's app"
    try:
        app = find_app()
    except DeviceError as problem:
        return Finding(what, False, str(problem), optional=True)
    with_what = " and ".join(RUNTIMES[runtime].label for runtime in app.runtimes)
    return Finding(
        what, True, f"app {app.version} with {with_what} for {', '.join(app.abis)} ({app.path})", optional=True
    )


def phone_runner() -> Finding:
    """Whether there is what measures in a phone's shell."""
    from pocketgan.bench.devices.phone_runner import find_runner

    what = "measure in an Android phone's shell"
    try:
        runner = find_runner()
    except DeviceError as problem:
        return Finding(what, False, str(problem), optional=True)
    return Finding(what, True, f"the native runner for {runner.abi} ({runner.program})", optional=True)


def browsers() -> Finding:
    """Whether there is what measures in a phone's browser; fetches nothing."""
    from pocketgan.bench.devices.web.runtime import VERSION, npm_that_fetches, runtime_there

    what = "measure in any phone's browser"
    try:
        found = runtime_there()
        where = f"fetched once, by {npm_that_fetches()}" if found is None else found.folder
    except DeviceError as problem:
        return Finding(what, False, str(problem), optional=True)
    return Finding(what, True, f"onnxruntime-web {VERSION} ({where}); pocketgan bench --device web", optional=True)


def _pair_problem() -> str | None:
    torch_build, vision_build = _build("torch"), _build("torchvision")
    if torch_build is None or vision_build is None or torch_build == vision_build:
        return None
    return (
        f"torch is a {torch_build} build and torchvision a {vision_build} build; they fail together "
        "(operator torchvision::nms does not exist). Install both from one index: "
        "pip install --force-reinstall torch==2.13.0 torchvision==0.28.0"
    )


def _build(package: str) -> str | None:
    """`cpu` or `cu130` as the package's own version file says, without importing it; None where it does not."""
    module = importlib.util.find_spec(package)
    if module is None or module.origin is None:
        return None
    try:
        text = (Path(module.origin).parent / "version.py").read_text()
    except OSError:
        return None
    label = re.search(r"^__version__\s*=\s*['\"][^'\"+]*\+(\w+)", text, re.MULTILINE)
    return label[1] if label else None


def _versions(modules: tuple[str, ...]) -> str:
    distributions = importlib.metadata.packages_distributions()
    names = [distributions.get(module, [module])[0] for module in modules]
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
