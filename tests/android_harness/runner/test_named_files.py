"""The native runner opens no model that names files which are not its own: as Python does."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pocketgan.bundle.damage import DamageError
from pocketgan.bundle.onnx_data import named_files

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402

Judge = Callable[[bytes], tuple[str, str]]


@pytest.fixture
def judge(built: Path, tmp_path: Path) -> Judge:
    """What the runner and what Python have to say of a model beside `w.bin` (48 bytes) and `sub/w.bin` (47)."""
    folder = tmp_path / "models" / "a"
    (folder / "sub").mkdir(parents=True)
    (folder / "w.bin").write_bytes(bytes(48))
    (folder / "sub" / "w.bin").write_bytes(bytes(47))
    files = ["models/a/m.onnx", "models/a/w.bin", "models/a/sub/w.bin"]

    def both(model: bytes) -> tuple[str, str]:
        (folder / "m.onnx").write_bytes(model)
        native = subprocess.check_output([built / "runner-checks", "named", tmp_path, *files], text=True).strip()
        try:
            named_files(folder / "m.onnx")
        except DamageError as damage:
            return native, f"models/a/m.onnx {damage}"
        return native, ""

    return both


def external(location: str = "w.bin", **entries: object) -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3, 4], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def model(*nodes: onnx.NodeProto, initializers: tuple[TensorProto, ...] = ()) -> bytes:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3, 4]) for name in "xy"]
    nodes = nodes or (helper.make_node("Add", ["x", "w"], ["y"]),)
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], list(initializers))
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())


def subgraph(tensor: TensorProto) -> bytes:
    constant = helper.make_node("Constant", [], ["w"], value=tensor)
    body = helper.make_graph([constant], "body", [], [helper.make_tensor_value_info("w", TensorProto.FLOAT, [3, 4])])
    return model(helper.make_node("If", ["x"], ["y"], then_branch=body, else_branch=body))


def twice() -> TensorProto:
    tensor = external()
    tensor.external_data.add(key="location", value="../w.bin")
    return tensor


REFUSED = {
    "above": model(initializers=(external("../w.bin"),)),
    "roundabout": model(initializers=(external("sub/../../w.bin"),)),
    "absolute": model(initializers=(external("/etc/passwd"),)),
    "drive": model(initializers=(external("C:\\w.bin"),)),
    "address": model(initializers=(external("*/_ORT_MEM_ADDR_/*", offset=1234),)),
    "folder": model(initializers=(external("sub"),)),
    "nowhere": model(initializers=(external(""),)),
    "too far": model(initializers=(external(offset=1),)),
    "too long": model(initializers=(external(length=49),)),
    "negative": model(initializers=(external(offset=-1),)),
    "no number": model(initializers=(external(length="1e9"),)),
    "short file": model(initializers=(external("sub/w.bin"),)),
    "twice": model(initializers=(twice(),)),
    "in a subgraph": subgraph(external("../w.bin")),
    "context": model(helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft", ep_cache_context="../w")),
    "no model": b"no model",
    "no field": bytes(16),
    "old": b"\x0b\x0c",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_is_refused_in_the_same_words(name, judge):
    native, python = judge(REFUSED[name])
    assert native == python != ""


def test_a_model_that_ends_too_early_is_none(judge):
    native, python = judge(model(initializers=(external(),))[:-3])
    assert "is no ONNX model" in native
    assert "is no ONNX model" in python


@pytest.mark.parametrize("content", [model(initializers=(external(),)), subgraph(external()), b"1234ORTMabc"])
def test_files_of_its_own_are_no_matter(content, judge):
    assert judge(content) == ("", "")


def test_mutants_are_judged_alike(judge):
    random = np.random.default_rng(5)
    sound = subgraph(external(offset=0, length=48))
    for _ in range(150):
        mutant = bytearray(sound)
        for place in random.integers(0, len(mutant), random.integers(1, 4)):
            mutant[place] = random.integers(0, 256)
        native, python = judge(bytes(mutant))
        assert bool(native) == bool(python), (native, python, bytes(mutant).hex())
