"""The Gradle build, which nothing here can run: its files parse, and say what the Maven build says."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
HARNESS = ROOT / "android_harness"
POM = "{http://maven.apache.org/POM/4.0.0}"
# Kotlin: 2.3 for the Android plugin 9; targetSdk: what Debian's aapt2 reads; ExecuTorch: its npm package tells no more.
DIFFERENT = {"kotlin": ("2.1.21", "2.3.20"), "targetSdk": ("34", "36"), "executorch": ("1.3", "1.3.1")}
# What AGP 9.0 needs at least, by its release notes.
GRADLE = "9.1.0"
SCRIPTS = sorted(path for path in HARNESS.glob("**/*.gradle.kts") if "target" not in path.parts)
# Only served to the tests in Python.
MAVEN_ALONE = {"jvm"}


def pom(path: Path) -> ET.Element:
    return ET.parse(path).getroot()


def maven_versions() -> dict[str, str]:
    """By the names that the version catalogue uses."""
    properties = pom(HARNESS / "pom.xml").find(f"{POM}properties")
    assert properties is not None
    named = {one.tag.removeprefix(POM): (one.text or "").strip() for one in properties}
    return {name.removeprefix("android.").removesuffix(".version"): value for name, value in named.items()}


def catalogue() -> dict[str, Any]:
    return tomllib.loads((HARNESS / "gradle" / "libs.versions.toml").read_text())


def workflow() -> dict[Any, Any]:
    loaded = yaml.safe_load((ROOT / ".github" / "workflows" / "android.yml").read_text())
    assert isinstance(loaded, dict)
    return loaded


def test_both_builds_name_the_same_versions_but_for_those_that_are_told() -> None:
    maven, gradle = maven_versions(), catalogue()["versions"]
    shared = {name: (maven[name], gradle[name]) for name in maven.keys() & gradle.keys()}
    assert {"serialization", "onnxruntime", "executorch", "junit", "robolectric", "minSdk"} <= shared.keys()
    assert {name: both for name, both in shared.items() if both[0] != both[1]} == DIFFERENT


def test_both_builds_have_the_same_modules() -> None:
    modules = {one.text for one in pom(HARNESS / "pom.xml").iter(f"{POM}module")}
    included = set(re.findall(r'":([a-z]+)"', (HARNESS / "settings.gradle.kts").read_text()))
    assert included == modules - MAVEN_ALONE
    assert {path.parent.name for path in SCRIPTS if path.parent != HARNESS} == included


def test_both_builds_make_the_same_app() -> None:
    script = (HARNESS / "app" / "build.gradle.kts").read_text()
    manifest = ET.parse(HARNESS / "app" / "src" / "main" / "AndroidManifest.xml").getroot()
    fields = dict(re.findall(r'(namespace|applicationId|versionName) = "([^"]+)"', script))
    assert fields["namespace"] == fields["applicationId"] == manifest.get("package")
    assert fields["versionName"] == pom(HARNESS / "pom.xml").findtext(f"{POM}version")


def test_modules_depend_on_the_same_modules_in_both_builds() -> None:
    for path in SCRIPTS:
        if path.parent == HARNESS:
            continue
        maven = pom(path.parent / "pom.xml").iterfind(f"{POM}dependencies/{POM}dependency")
        ours = {one.findtext(f"{POM}artifactId") for one in maven if one.findtext(f"{POM}groupId") == "org.pocketgan"}
        gradle = re.findall(r'project\(":([a-z]+)"\)', path.read_text())
        assert {pom(HARNESS / name / "pom.xml").findtext(f"{POM}artifactId") for name in gradle} == ours, path


def test_modules_with_serializable_classes_have_the_plugin_that_writes_their_serializers() -> None:
    sources = {path.parent: sorted((path.parent / "src" / "main").rglob("*.kt")) for path in SCRIPTS}
    serializable = {
        module for module, files in sources.items() if any("@Serializable" in file.read_text() for file in files)
    }
    assert {module.name for module in serializable} >= {"core"}
    for module in serializable:
        assert "libs.plugins.kotlin.serialization" in (module / "build.gradle.kts").read_text(), module


def test_every_name_of_the_catalogue_is_used_and_every_used_name_is_in_it() -> None:
    known = catalogue()
    aliases = {f"plugins.{name.replace('-', '.')}" for name in known["plugins"]}
    aliases |= {name.replace("-", ".") for name in known["libraries"]}
    text = "\n".join(path.read_text() for path in SCRIPTS)
    accessors = {one.removesuffix(".get") for one in re.findall(r"\blibs\.([a-zA-Z.]+)", text)}
    versions = {one.removeprefix("versions.") for one in accessors if one.startswith("versions.")}
    assert {one for one in accessors if not one.startswith("versions.")} == aliases
    referred = {entry["version"]["ref"] for table in ("libraries", "plugins") for entry in known[table].values()}
    assert versions | referred == set(known["versions"])


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(HARNESS)))
def test_every_build_file_says_that_it_was_not_run(path: Path) -> None:
    assert re.match(r"// .*not run where it was written", path.read_text(), re.IGNORECASE | re.DOTALL)


def syntax_errors(folder: Path, scripts: dict[str, str]) -> list[tuple[str, str]]:
    """By Maven's Kotlin compiler, each script as the body of a function; Gradle's names are unknown to it."""
    repository = Path.home() / ".m2" / "repository" / "org" / "jetbrains"
    version = maven_versions()["kotlin"]
    needed = [f"kotlin/{name}/{version}" for name in ("kotlin-compiler", "kotlin-stdlib", "kotlin-script-runtime")]
    needed += ["kotlinx/kotlinx-coroutines-core-jvm/*", "intellij/deps/trove4j/*"]
    jars = {name: sorted(repository.glob(f"{name}/*.jar"))[-1:] for name in needed}
    if shutil.which("java") is None or not all(jars.values()):
        pytest.skip("left out: the Kotlin compiler is not here; make harness fetches it")
    for number, (name, text) in enumerate(scripts.items()):
        lines = text.splitlines()
        imports = [line for line in lines if line.startswith("import ")]
        body = [line for line in lines if not line.startswith("import ")]
        (folder / name).write_text("\n".join([*imports, f"fun script{number}() {{", *body, "}"]))
    command = [
        "java",
        "-cp",
        ":".join(str(jar) for newest in jars.values() for jar in newest),
        "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler",
    ]
    command += ["-no-stdlib", "-no-reflect", "-d", str(folder / "out"), *(str(folder / name) for name in scripts)]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    assert "unresolved reference" in output  # it came as far as that
    return re.findall(r"([^/\s]+)\.kt:\d+:\d+: error: syntax error: (.*)", output)


def test_build_files_are_kotlin(tmp_path: Path) -> None:
    scripts = {f"script{number}.kt": path.read_text() for number, path in enumerate(SCRIPTS)}
    errors = syntax_errors(tmp_path, {**scripts, "broken.kt": "plugins {\n    alias(libs.plugins\n}\n"})
    assert {name for name, _ in errors} == {"broken"}


def test_the_workflow_runs_both_builds_with_the_wrappers_gradle_and_keeps_what_they_make() -> None:
    wrapper = (HARNESS / "gradle" / "wrapper" / "gradle-wrapper.properties").read_text()
    assert f"/gradle-{GRADLE}-bin.zip" in wrapper
    assert re.search(r"^distributionSha256Sum=[0-9a-f]{64}$", wrapper, re.MULTILINE)
    jobs = workflow()["jobs"]
    for job in jobs.values():
        assert {"runs-on", "timeout-minutes", "steps"} == set(job)
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            assert set(step) <= {"name", "uses", "run", "with"}
    steps = {name: job["steps"] for name, job in jobs.items()}
    (gradle,) = [step["with"] for step in steps["gradle"] if "setup-gradle" in step.get("uses", "")]
    assert gradle == {"gradle-version": GRADLE}
    assert any(step.get("run") == "make apk" for step in steps["maven"])
    kept = [step["with"]["path"] for name in steps for step in steps[name] if "upload-artifact" in step.get("uses", "")]
    assert kept == [
        "android_harness/app/build/outputs/apk/release/app-release.apk",
        "android_harness/app/target/pocketgan-harness.apk",
    ]


def test_the_workflow_reads_alone_and_knows_no_secret() -> None:
    assert workflow()["permissions"] == {"contents": "read"}
    assert "secrets." not in (ROOT / ".github" / "workflows" / "android.yml").read_text()


def test_what_the_wrapper_generates_is_not_committed() -> None:
    made = [
        "gradlew",
        "gradlew.bat",
        "gradle/wrapper/gradle-wrapper.jar",
        "app/build/x",
        ".gradle/x",
        "local.properties",
    ]
    command = ["git", "check-ignore", *(f"android_harness/{name}" for name in made)]
    ignored = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ignored.stdout.split() == command[2:]
