"""The wheel: what is inside, and that it imports where it is installed without a clone."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import onnx
import pytest
from chromium import chromium, local_url, needs_chromium, until
from fake_page import fake_runtime
from ort_web import cached_ort_web
from simulated_app import make_apk

from pocketgan.bench.devices.web.runtime import all_files

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """sdist, and the wheel built from it, out of a copy of the tracked files."""
    source = tmp_path_factory.mktemp("source") / "pocketgan"
    ignore = shutil.ignore_patterns(
        ".venv*", "build", "dist", "runs", ".git", "*.egg-info", "__pycache__", ".*_cache", "target", "*.apk", "runtime"
    )
    shutil.copytree(ROOT, source, ignore=ignore, symlinks=True)
    app = source / "android_harness" / "app"
    (app / "target").mkdir()
    make_apk(app / "target" / "pocketgan-harness.apk", libraries=["lib/arm64-v8a/libonnxruntime.so"])
    subprocess.run([sys.executable, str(app / "into_wheel.py")], check=True, stdout=subprocess.DEVNULL)
    runtime = source / "web_harness" / "runtime"
    if cached := cached_ort_web():
        shutil.copytree(cached, runtime)
    else:
        fake_runtime(runtime)
        (runtime / "LICENSE").write_text("MIT License")
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode and "ConnectionError" in done.stdout + done.stderr:
        pytest.skip("building in isolation needs the package index")
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_the_wheel_installs_nothing_outside_its_namespace(built):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = wheel.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"pocketgan"}
    expected = [
        f.relative_to(ROOT) for part in ("core", "training", "export", "bench") for f in (ROOT / part).rglob("*.py")
    ]
    mapped = {"pocketgan/" + path.as_posix().removeprefix("core/") for path in expected}
    assert mapped <= set(names)
    for data in ("recipes/demo.yaml", "bench/report/page.html", "bench/schema/manifest.schema.json", "py.typed"):
        assert f"pocketgan/{data}" in names
    assert any(name.endswith("LICENSE") for name in names)


def test_the_app_rides_in_the_wheel_and_is_found_with_its_licences(built, tmp_path):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "site")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "from pocketgan.bench.devices.phone_app import find_app\n"
        "app = find_app(); print(app.path, app.version, *app.abis, *app.runtimes)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    folder = tmp_path / "site" / "pocketgan" / "bench" / "app"
    assert done.stdout.split() == [str(folder / "pocketgan-harness.apk"), "0.1.0", "arm64-v8a", "onnxruntime"]
    assert (folder / "licences" / "onnxruntime" / "LICENSE").read_text() == "MIT License"
    (folder / "pocketgan-harness.apk").unlink()
    without = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert "measuring in a phone's app needs the app, which this installation has not" in without.stderr


def test_the_page_and_its_runtime_ride_in_the_wheel(built):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        inside = {
            Path(name).relative_to("pocketgan/web_harness").as_posix()
            for name in wheel.namelist()
            if "/web_harness/" in name
        }
    page = {file.name for file in (ROOT / "web_harness").iterdir() if file.suffix in (".html", ".css", ".js", ".svg")}
    assert page | {"__init__.py"} <= inside
    assert "runtime/LICENSE" in inside
    assert len([name for name in inside if name.startswith("runtime/ort")]) == len(all_files())
    assert not any(name.startswith(("release", "types", "jsconfig")) for name in inside)


@needs_chromium
def test_the_wheel_measures_in_a_browser_with_what_is_in_it(built, tmp_path):
    if cached_ort_web() is None:
        pytest.skip("onnxruntime-web is not in the cache: tests/bench/test_web_page.py fetches it")
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "site")
    onnx.save(tiny_model(), tmp_path / "tiny.onnx")
    run = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); from pocketgan.cli import main; main()"
    # An npm that cannot be called: what is needed is there.
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": str(tmp_path)}

    def command(*arguments):
        return [sys.executable, "-c", run, *map(str, arguments)]

    packing = command("bundle", "pack", "--onnx", tmp_path / "tiny.onnx", "--out", tmp_path / "tiny.pgb")
    subprocess.run(packing, check=True, capture_output=True, cwd=tmp_path)
    bench = command(
        "bench", tmp_path / "tiny.pgb", "--device", "web", "--port", 0, "--runs", 1, "--iterations", 4, "--json"
    )
    with chromium() as browser:
        measuring = subprocess.Popen(
            bench, text=True, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        page = browser.new_page()
        page.goto(local_url(measuring))
        until(page, lambda: measuring.poll() is not None)
    assert measuring.returncode == 0, measuring.stderr.read()
    (row,) = json.loads(measuring.stdout.read())["measured"]
    assert (row["provider"], row["errors"], row["fps"] > 0) == ("wasm", [], True)


def tiny_model():
    """`y = relu(x)` of a picture."""
    shape = [1, 3, 16, 16]
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "tiny", values[:1], values[1:])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)


def modules(wheel):
    with zipfile.ZipFile(wheel) as file:
        paths = [name.removesuffix(".py") for name in file.namelist() if name.endswith(".py")]
    return sorted(path.replace("/", ".").removesuffix(".__init__") for path in paths if not path.endswith("__main__"))


def importable(python, names, cwd):
    """Names of the modules that do not import, with the reason."""
    code = (
        "import importlib, json, sys\nfailed = {}\n"
        f"for name in {names!r}:\n"
        "    try: importlib.import_module(name)\n"
        "    except Exception as error: failed[name] = repr(error)\n"
        "print(json.dumps(failed))"
    )
    done = subprocess.run(
        [python, "-c", code], capture_output=True, text=True, cwd=cwd, env={**os.environ, "PYTHONPATH": ""}
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_base_modules_import_from_the_wheel_in_an_empty_environment(built, tmp_path):
    uv = shutil.which("uv") or shutil.which("uv", path=str(ROOT / ".venv-uv" / "bin"))
    if uv is None:
        pytest.skip("needs uv to make an environment quickly")
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(tmp_path / "env")], check=True)
    wheel = next(built.glob("*.whl"))
    install = [uv, "pip", "install", "-q", "--python", str(python), "-c", str(ROOT / "constraints.txt"), str(wheel)]
    subprocess.run(install, check=True)
    heavy = ("pocketgan.training", "pocketgan.export")
    # What needs an extra at its first line: ExecuTorch's runner torch, the plugin pytest.
    extra = ("runners.executorch", "bench.plugin")
    base = [name for name in modules(wheel) if not name.startswith(heavy) and not name.endswith(extra)]
    assert len(base) > 30
    assert importable(python, base, tmp_path) == {}
    missing = subprocess.run(
        [tmp_path / "env" / "bin" / "pocketgan", "run", "demo"], capture_output=True, text=True, cwd=tmp_path
    )
    assert missing.returncode == 2
    assert "pip install 'pocketgan[train]'" in missing.stderr
    assert not (tmp_path / "runs" / "demo" / "data").exists()


def test_every_module_imports_with_all_extras(built, tmp_path):
    """This environment has `[all]`; the modules come out of the wheel, not out of the clone."""
    wheel = next(built.glob("*.whl"))
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "site")
    names = modules(wheel)
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); import pocketgan; print(pocketgan.__file__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert str(tmp_path) in done.stdout
    script = (
        f"import sys, importlib; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        f"for name in {names!r}: importlib.import_module(name)\nprint('all')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-1:] == ["all"], done.stderr
