"""Qualcomm's delegate without its SDK: what is asked for in one line, and the hand-over to the other process."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("executorch")

from pocketgan.errors import ExportError  # noqa: E402
from pocketgan.export.entry import export  # noqa: E402
from pocketgan.export.targets import find_target  # noqa: E402
from pocketgan.export.targets.executorch_qualcomm import lower  # noqa: E402
from pocketgan.export.targets.target import Form  # noqa: E402
from pocketgan.export.tracing import trace  # noqa: E402
from pocketgan.targets import qualcomm_sdk  # noqa: E402

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Qualcomm's SDK runs on Linux x86-64 only")
TARGET, _ = find_target("executorch-qualcomm")

# Stands in for the process that lowers: writes down what it was given.
LOWERING = """
import json, os, sys
from pathlib import Path
folder = Path(sys.argv[-1])
request = json.loads((folder / "request.json").read_text())
images = output = None
if request["int8"]:  # torch takes seconds to import: once is enough
    import numpy as np, torch
    program = torch.export.load(folder / "program.pt2")
    output = program.module()(*program.example_inputs[0]).sum().item()
    images = list(np.load(folder / "calibration.npy", allow_pickle=False).shape)
seen = {
    **request,
    "images": images,
    "output": output,
    "files": sorted(path.name for path in folder.iterdir()),
    "libraries": os.environ["LD_LIBRARY_PATH"].split(os.pathsep)[0],
    "sdk": os.environ["QNN_SDK_ROOT"],
}
(folder / "model.pte").write_text(json.dumps(seen))
(folder / "delegation.json").write_text('{"delegated_fraction": 1.0, "subgraphs": 1}')
"""


@pytest.fixture
def program():
    torch.manual_seed(0)
    return trace(torch.nn.Conv2d(3, 2, 1), (torch.ones(1, 3, 4, 4),))


@pytest.fixture
def sdk(tmp_path, monkeypatch):
    """A folder that looks like the SDK."""
    library = tmp_path / "sdk/lib/x86_64-linux-clang/libQnnHtp.so"
    library.parent.mkdir(parents=True)
    library.touch()
    monkeypatch.setenv("QNN_SDK_ROOT", str(tmp_path / "sdk"))
    return tmp_path / "sdk"


def test_without_the_sdk_one_line_says_what_to_install_and_set(monkeypatch, tmp_path):
    monkeypatch.delenv("QNN_SDK_ROOT", raising=False)
    with pytest.raises(ExportError, match=r"install it from Qualcomm and set QNN_SDK_ROOT to its folder$"):
        export(torch.nn.Conv2d(3, 3, 1), "executorch-qualcomm", folder=tmp_path, example=(torch.zeros(1, 3, 8, 8),))
    assert list(tmp_path.iterdir()) == []
    assert not any(name.startswith("executorch.backends.qualcomm") for name in sys.modules)


def test_a_variable_that_names_another_folder_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("QNN_SDK_ROOT", str(tmp_path))
    with pytest.raises(ExportError, match=r"holds no lib/x86_64-linux-clang/libQnnHtp\.so"):
        qualcomm_sdk()


@pytest.mark.parametrize("images", [None, np.zeros((8, 1, 3, 4, 4), np.float32)], ids=["fp16", "int8"])
def test_the_other_process_gets_the_graph_the_chip_and_the_images(images, program, sdk):
    data, delegation = lower(program, "SM8750", images, qualcomm_sdk(), (sys.executable, "-c", LOWERING))
    seen = json.loads(data)
    assert (seen["soc"], seen["int8"]) == ("SM8750", images is not None)
    if images is None:
        assert seen["files"] == ["program.pt2", "request.json"]
    else:
        assert seen["images"] == list(images.shape)
        assert seen["output"] == pytest.approx(program.module()(torch.ones(1, 3, 4, 4)).sum().item(), rel=1e-6)
    assert Path(seen["libraries"]) == sdk / "lib/x86_64-linux-clang"
    assert seen["sdk"] == str(sdk)
    assert (delegation.delegated_fraction, delegation.subgraphs) == (1, 1)


def test_a_failure_of_the_other_process_is_its_last_line(program, sdk):
    code = "import sys; print('first', file=sys.stderr); sys.exit('libQnnHtp.so: file too short')"
    with pytest.raises(
        ExportError, match=r"^lowering for SM8650 ended with exit code 1: libQnnHtp.so: file too short$"
    ):
        lower(program, "SM8650", None, sdk, (sys.executable, "-c", code))


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (Form("fp16", soc="A17"), "does not know the chip 'A17'; --soc takes SM8350, SM8450"),
        (Form("fp16", soc="SM8350"), "SM8350 does not compute in float16; --precision int8"),
    ],
)
def test_a_chip_that_is_unknown_or_too_old_is_told(form, message):
    with pytest.raises(ExportError, match=message):
        TARGET.minimum_os(form)


def test_int8_runs_on_the_oldest_chip():
    assert TARGET.minimum_os(Form("int8", soc="SM8350")) is None
