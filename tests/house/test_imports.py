"""Who may import whom (design of the package): parts stay apart, heavy libraries stay out of the base."""

import graphlib
import subprocess
import sys

import grimp
import pytest

BASE = (
    "errors", "console", "files", "pictures", "picture_files", "processor", "scratch", "targets", "torch_program",
    "bundle", "recipe",
)  # fmt: skip


@pytest.fixture(scope="module")
def graph():
    return build_graph()


def build_graph(**options):
    # Without its cache: that goes by the date of our editable install's links, not of the files.
    return grimp.build_graph("pocketgan", cache_dir=None, **options)


def imports_of(graph, package):
    """Everything inside pocketgan that a package's modules import from outside of it, lazily or not."""
    own = {m for m in graph.modules if m == package or m.startswith(f"{package}.")}
    assert own
    return {imported for module in own for imported in graph.find_modules_directly_imported_by(module)} - own


def under(modules, *packages):
    return {m for m in modules if any(m == p or m.startswith(f"{p}.") for p in packages)}


def base(modules):
    """The base itself; `pocketgan` alone is the version."""
    return under(modules, *(f"pocketgan.{name}" for name in BASE)) | ({"pocketgan"} & set(modules))


def test_the_base_imports_only_itself(graph):
    for name in BASE:
        imported = imports_of(graph, f"pocketgan.{name}")
        assert imported == base(imported), name


def test_the_table_of_targets_imports_nothing_but_errors(graph):
    assert graph.find_modules_directly_imported_by("pocketgan.targets") == {"pocketgan.errors"}


def test_training_imports_only_the_base(graph):
    imported = imports_of(graph, "pocketgan.training")
    assert imported == base(imported)


def test_export_sees_of_training_only_the_generators(graph):
    imported = imports_of(graph, "pocketgan.export")
    assert imported - under(imported, "pocketgan.training.generators") == base(imported)


def test_bench_sees_bundles_and_never_networks(graph):
    # The page that it serves is no code of Python's.
    imported = imports_of(graph, "pocketgan.bench") - {"pocketgan.web_harness"}
    assert imported == base(imported)


def test_no_modules_import_each_other():
    """Not in a circle either, and not hidden inside of a function; types alone may."""
    graph = build_graph(exclude_type_checking_imports=True)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    graphlib.TopologicalSorter(imports).prepare()  # raises CycleError, which names them


def test_latency_is_below_the_pipeline_and_the_pipeline_below_the_command_line(graph):
    assert not under(imports_of(graph, "pocketgan.latency"), "pocketgan.pipeline", "pocketgan.cli")
    assert not under(imports_of(graph, "pocketgan.pipeline"), "pocketgan.cli")


@pytest.mark.parametrize(
    "module",
    [
        "pocketgan.bundle.reader",
        "pocketgan.recipe.reading",
        "pocketgan.targets",
        "pocketgan.doctor",
        "pocketgan.pipeline.way",
        "pocketgan.cli",
        "pocketgan.bench.session",
        "pocketgan.export.entry",
    ],
)
def test_the_base_starts_without_torch(module):
    heavy = ("torch", "onnx", "coremltools", "executorch", "cv2")
    code = f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
