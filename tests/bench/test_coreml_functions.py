"""Core ML's packages of several functions, as far as they are read on any system."""

from __future__ import annotations

from pathlib import Path

import pytest

from pocketgan.bench.runners.coreml import CoreMLEngine
from pocketgan.bench.runners.protocol import ModelPlan


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Functions `plain` and `ink` in one package."""
    coremltools = pytest.importorskip("coremltools")  # here: importing it takes seconds of every process that collects
    from coremltools.converters.mil import Builder
    from coremltools.models.utils import MultiFunctionDescriptor, save_multifunction

    folder, both = tmp_path_factory.mktemp("coreml"), MultiFunctionDescriptor()
    for name in ("plain", "ink"):

        @Builder.program(input_specs=[Builder.TensorSpec(shape=(1, 3, 4, 4))])
        def program(x):
            return Builder.mul(x=x, y=2.0)

        options = {"convert_to": "mlprogram", "minimum_deployment_target": coremltools.target.iOS18}
        model = coremltools.convert(program, **options, skip_model_load=True)
        model.save(str(folder / f"{name}.mlpackage"))
        both.add_function(str(folder / f"{name}.mlpackage"), src_function_name="main", target_function_name=name)
    both.default_function_name = "plain"
    save_multifunction(both, str(folder / "both.mlpackage"))
    return folder / "both.mlpackage"


@pytest.mark.filterwarnings("ignore")
def test_the_function_of_the_concept_is_loaded(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import coremltools

    engine = CoreMLEngine()
    engine.start(1)
    loaded, real = [], coremltools.models.MLModel
    monkeypatch.setattr(coremltools.models, "MLModel", lambda *given, **named: loaded.append(real(*given, **named)))
    for function in (None, "ink"):
        engine.load(ModelPlan(str(package), (), (), floor_db=60, function=function))
    assert [model.function_name for model in loaded] == ["plain", "ink"]
    with pytest.raises(ValueError, match="nothing"):
        engine.load(ModelPlan(str(package), (), (), floor_db=60, function="nothing"))
