"""ExecuTorch programs (`.pte`) for its Core ML delegate: an app with ExecuTorch that wants Apple's Neural Engine."""

from __future__ import annotations

import json
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from pocketgan.export.targets import payload
from pocketgan.export.targets.coreml import normalise, oldest_ios
from pocketgan.export.targets.executorch import ExecuTorch, write_program
from pocketgan.export.targets.target import Exported, Form
from pocketgan.files import sha256_file
from pocketgan.targets import TARGETS

if TYPE_CHECKING:
    from torch import Tensor, nn

# Precisions that the oldest iOS does not have.
LEAST_IOS = {"int8": 17}
# How a change of type is called when the partitioner looks at the graph, the last time too.
_CONVERSIONS = ("_to_copy.default", "dim_order_ops._to_dim_order_copy.default")
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://pocketgan/executorch-coreml")


class ExecuTorchCoreML(ExecuTorch):
    """One `model.pte` that holds an ML program; int8 quantises activations too, calibrated.

    Parity is measured on that ML program, where the whole graph is in one.
    """

    facts = TARGETS["executorch-coreml"]
    rewrites: tuple[str, ...] = ("constants", "whole-kernels", "grown-convolutions", "fold-norms-of-sums")
    relative_time = 3.0

    def minimum_os(self, form: Form) -> str | None:
        """See Target."""
        return f"iOS {oldest_ios(form, LEAST_IOS)}"

    def export(self, module: nn.Module, example: tuple[Tensor, ...], form: Form, folder: Path) -> Exported:
        """See Target."""
        from pocketgan.export.packages import kept_packages
        from pocketgan.export.pixels import in_contract
        from pocketgan.export.targets.coreml_quantizer import quantize_activations

        if form.precision in self.facts.calibrated:
            module = quantize_activations(module, example, form)
        module, example = in_contract(module, example, form.io)
        # Not within fast_lowering(): the ML program's input would have another name, and it saves a second at most.
        with kept_packages(), _normal_packages():
            return write_program(module, example, partitioner(form), folder)


def partitioner(form: Form) -> Any:
    """ExecuTorch's partitioner for the form."""
    import coremltools as ct
    from executorch.backends.apple.coreml.compiler import CoreMLBackend
    from executorch.backends.apple.coreml.partition.coreml_partitioner import CoreMLPartitioner

    return CoreMLPartitioner(
        # Core ML has no arrays of bytes.
        skip_ops_for_coreml_delegation=list(_CONVERSIONS) if form.io == "image" else None,
        compile_specs=CoreMLBackend.generate_compile_specs(
            minimum_deployment_target=getattr(ct.target, f"iOS{oldest_ios(form, LEAST_IOS)}"),
            compute_precision=ct.precision.FLOAT32 if form.precision == "fp32" else ct.precision.FLOAT16,
        ),
    )


@contextmanager
def _normal_packages() -> Iterator[None]:
    """Within it the delegate stores packages whose bytes depend on the network alone. ExecuTorch's own step writes
    random names and the day of the conversion; it is pinned to one version, so its insides are known."""
    from executorch.backends.apple.coreml.compiler import CoreMLBackend
    from executorch.exir.backend.backend_details import PreprocessResult

    def preprocess_model(mlmodel: Any, model_type: Any) -> PreprocessResult:
        with tempfile.TemporaryDirectory(prefix="pocketgan-") as temporary:
            folder = Path(temporary) / payload.FOLDER
            mlmodel.save(str(folder / payload.PACKAGE))
            normalise(folder / payload.PACKAGE)
            description = mlmodel.get_spec().description
            notes = {
                "inputNames": [entry.name for entry in description.input],
                "outputNames": [entry.name for entry in description.output],
                "identifier": f"executorch_{_identifier(folder / payload.PACKAGE)}",
            }
            (folder / payload.NOTES).write_text(json.dumps(notes))
            return PreprocessResult(processed_bytes=payload.pack(folder))

    with mock.patch.object(CoreMLBackend, "preprocess_model", staticmethod(preprocess_model)):
        yield


def _identifier(package: Path) -> uuid.UUID:
    """Under it the delegate keeps the compiled model on the phone: another network needs another one."""
    return uuid.uuid5(_NAMESPACE, " ".join(sha256_file(file) for file in sorted(package.rglob("*")) if file.is_file()))
