"""Core ML programs (`.mlpackage`) for the Neural Engine, the GPU and the CPU of Apple's devices."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan.errors import ExportError, require
from pocketgan.export.targets.target import INPUT, OUTPUT, Exported, Form, Target
from pocketgan.export.tracing import trace
from pocketgan.files import sha256_file
from pocketgan.targets import IOS, TARGETS

if TYPE_CHECKING:
    from torch import Tensor, nn

PACKAGE = "model.mlpackage"
# Where an .mlpackage keeps its parts.
PACKAGE_MANIFEST = "Manifest.json"
DATA = "Data"
MODEL = "Data/com.apple.CoreML/model.mlmodel"
# Precisions that the oldest system of IOS does not have.
LEAST_IOS = {"int4": 18, "w8a8": 17}
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://pocketgan/mlpackage")


class CoreML(Target):
    """One `model.mlpackage`: an ML program with float32 input and output, or with images (CVPixelBuffer).

    fp32 computes in float32, all others in float16, their weights as the precision says: int8 per output channel,
    palettes of 8, 6 or 4 bits (mixed chooses among them), int4 in blocks of 32 input channels. w8a8 has activations of
    8 bits too, calibrated.
    """

    facts = TARGETS["coreml"]
    rewrites: tuple[str, ...] = ("constants", "whole-kernels", "grown-convolutions", "fold-norms-of-sums")
    relative_time = 2.0

    def minimum_os(self, form: Form) -> str | None:
        """See Target."""
        return f"iOS {oldest_ios(form, LEAST_IOS)}"

    def export(self, module: nn.Module, example: tuple[Tensor, ...], form: Form, folder: Path) -> Exported:
        """See Target."""
        import coremltools as ct
        import numpy as np
        from coremltools.converters.mil.converter import _reset_conversion_state

        from pocketgan.export.packages import kept_packages
        from pocketgan.export.pixels import Levels
        from pocketgan.export.quantize import compress_coreml

        if form.precision in self.facts.calibrated:
            require("export", "executorch")
            from pocketgan.export.targets.coreml_quantizer import quantize_activations

            module = quantize_activations(module, example, form)
        package, shape = folder / PACKAGE, tuple(example[0].shape)
        if form.io == "image":
            module = Levels(module)
            image = ct.ImageType(name=INPUT, shape=shape, color_layout=ct.colorlayout.RGB)
            output = ct.ImageType(name=OUTPUT, color_layout=ct.colorlayout.RGB)
        else:
            image = ct.TensorType(name=INPUT, shape=shape, dtype=np.float32)
            output = ct.TensorType(name=OUTPUT, dtype=np.float32)
        _reset_conversion_state()  # a conversion that failed leaves its counts, which become names
        with kept_packages():
            model = ct.convert(
                trace(module, example).run_decompositions({}),
                inputs=[image],
                outputs=[output],
                convert_to="mlprogram",
                minimum_deployment_target=getattr(ct.target, f"iOS{oldest_ios(form, LEAST_IOS)}"),
                compute_precision=ct.precision.FLOAT32 if form.precision == "fp32" else ct.precision.FLOAT16,
                skip_model_load=True,
            )
            compress_coreml(model, form).save(str(package))
        version = normalise(package)
        return Exported(PACKAGE, f"specification {version}")


def oldest_ios(form: Form, least_ios: Mapping[str, int]) -> int:
    """The iOS that the file is for.

    Args:
        least_ios: the oldest that a precision runs on, where that is not the oldest of all.
    Raises:
        ExportError: there is no such deployment target, or it is too old for the precision.
    """
    least = least_ios.get(form.precision, IOS[0])
    if form.ios is None:
        return least
    if form.ios not in IOS:
        raise ExportError(f"Core ML is exported for iOS {', '.join(map(str, IOS))}, not for iOS {form.ios}")
    if form.ios < least:
        raise ExportError(f"Core ML's {form.precision} needs iOS {least}; iOS {form.ios} is older")
    return form.ios


def normalise(package: Path) -> int:
    """Give the package bytes that depend on the network alone, and return its specification version.

    coremltools writes the day of the conversion, random identifiers, whether torch was built for a CPU or for CUDA,
    and, where ExecuTorch is installed, a map of debug handles.
    """
    from coremltools.proto import Model_pb2

    model = Model_pb2.Model()
    path = package / MODEL
    model.ParseFromString(path.read_bytes())
    notes = model.description.metadata.userDefined
    notes.pop("com.github.apple.coremltools.conversion_date", None)
    for key, text in list(notes.items()):  # a list: a protobuf map may skip keys when it is written while walked
        notes[key] = _without_build(text)
    for note in model.mlProgram.attributes["buildInfo"].immediateValue.dictionary.values:
        strings = note.value.immediateValue.tensor.strings.values
        strings[:] = [_without_build(text) for text in strings]
    path.write_bytes(model.SerializeToString(deterministic=True))
    for other in package.iterdir():
        if other.name not in (PACKAGE_MANIFEST, DATA):
            other.unlink()
    _rewrite_manifest(package)
    return int(model.specificationVersion)


def _without_build(version: str) -> str:
    """2.13.0+cu130 -> 2.13.0."""
    return version.partition("+")[0]


def _rewrite_manifest(package: Path) -> None:
    """Replace the random identifiers of the items by ones made from each item's path and content."""
    path = package / PACKAGE_MANIFEST
    manifest: dict[str, Any] = json.loads(path.read_text())
    names = {
        old: str(uuid.uuid5(_NAMESPACE, f"{item['path']} {_content(package / DATA / item['path'])}"))
        for old, item in manifest["itemInfoEntries"].items()
    }
    manifest["itemInfoEntries"] = {names[old]: item for old, item in manifest["itemInfoEntries"].items()}
    manifest["rootModelIdentifier"] = names[manifest["rootModelIdentifier"]]
    path.write_text(json.dumps(manifest, indent=4, sort_keys=True) + "\n")


def _content(path: Path) -> str:
    """SHA-256 of a file, or of the names and SHA-256s of a folder's files."""
    if path.is_file():
        return sha256_file(path)
    return " ".join(f"{file.name} {sha256_file(file)}" for file in sorted(path.rglob("*")) if file.is_file())
