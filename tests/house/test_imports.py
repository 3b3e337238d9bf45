"""Who may import whom (design of the package): parts stay apart, heavy libraries stay out of the base."""

import subprocess
import sys

import grimp
import pytest

BASE = {
    f"pocketgan.{name}"
    for name in (
        "archive", "bundle", "bundle_reader", "console", "damage", "errors", "files", "manifest", "manifest_file",
        "recipe", "sections", "signature", "strict_zip", "tensors", "torch_program",
    )
}  # fmt: skip


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("pocketgan")


def imports_of(graph, package):
    """Everything inside pocketgan that a package's modules import from outside of it, lazily or not."""
    own = {m for m in graph.modules if m == package or m.startswith(f"{package}.")}
    assert own
    return {imported for module in own for imported in graph.find_modules_directly_imported_by(module)} - own


def under(modules, *packages):
    return {m for m in modules if any(m == p or m.startswith(f"{p}.") for p in packages)}


def test_the_base_imports_only_itself(graph):
    for module in BASE:
        assert graph.find_modules_directly_imported_by(module) <= BASE | {"pocketgan"}, module


def test_training_imports_only_the_base(graph):
    found = imports_of(graph, "pocketgan.training")
    assert found <= BASE | {"pocketgan"}


def test_export_sees_of_training_only_the_generators(graph):
    found = imports_of(graph, "pocketgan.export")
    assert found - under(found, "pocketgan.training.generators") <= BASE | {"pocketgan"}


def test_bench_sees_bundles_and_never_networks(graph):
    assert imports_of(graph, "pocketgan.bench") <= BASE | {"pocketgan"}


@pytest.mark.parametrize("module", ["pocketgan.bundle", "pocketgan.recipe", "pocketgan.cli", "pocketgan.bench.session"])
def test_the_base_starts_without_torch(module):
    heavy = ("torch", "onnx", "coremltools", "executorch", "cv2")
    code = f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
