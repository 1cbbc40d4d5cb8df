"""What is installed and what is tracked."""

import ast
import itertools
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SCRIPTS = PYPROJECT["project"]["scripts"]
RENAMED = {"glam_export": "export", "glam_ui": "ui"}
MIB = 1 << 20
# What a declared package brings and our code imports by name.
BROUGHT_BY = {
    "anyio": "litserve",
    "fastapi": "litserve",
    "h11": "uvicorn",
    "huggingface_hub": "transformers",
    "ml_dtypes": "onnx",
    "pydantic": "litserve",
    "rapidjson": "tritonclient",
    "starlette": "litserve",
}
# Split, so that this file does not hold what it looks for.
HOSTS = ["pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org", "deb.debian" + ".org"]
MACHINE_PATH = re.compile(r"(?<![\w.~])/(?:work|root|home)/\w")


def tracked() -> list[Path]:
    """The files that a clone brings."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


def tracked_text() -> dict[str, str]:
    """Path -> text of the tracked files that are text."""
    texts = {}
    for file in tracked():
        content = file.read_bytes()
        if b"\0" not in content:
            texts[str(file.relative_to(ROOT))] = content.decode("utf-8", errors="replace")
    return texts


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_every_folder_with_an_init_file_is_installed_and_nothing_else():
    installed = {package.replace(".", "/") for package in PYPROJECT["tool"]["setuptools"]["packages"]}
    present = set()
    for package in ("glam", "glam_train", "glam_serve", *RENAMED):
        folder = ROOT / RENAMED.get(package, package)
        present |= {str(package / file.parent.relative_to(folder)) for file in folder.rglob("__init__.py")}
    assert installed == present


def imports_of_others() -> set[str]:
    """First names of the modules of other people that our packages import anywhere, in functions too."""
    names: set[str] = set()
    for package in ("glam", "glam_train", "glam_serve", *RENAMED.values()):
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Import):
                    names |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                    names.add(node.module.partition(".")[0])
    return {name for name in names - sys.stdlib_module_names if not name.startswith("glam")}


def declared() -> set[str]:
    """Distributions that the project asks for, in all its extras."""
    project = PYPROJECT["project"]
    asked = [project["dependencies"], *project["optional-dependencies"].values()]
    return {plain(re.split(r"[^\w.-]", wanted)[0]) for wanted in itertools.chain.from_iterable(asked)}


def plain(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def test_everything_that_is_imported_is_asked_for():
    homes = packages_distributions()
    asked = declared()
    missing = {
        name
        for name in imports_of_others() - BROUGHT_BY.keys()
        if not {plain(home) for home in homes.get(name, ["absent"])} & asked
    }
    assert missing == set()
    assert set(BROUGHT_BY.values()) <= asked


def test_the_renamed_packages_are_flat():
    assert PYPROJECT["tool"]["setuptools"]["package-dir"] == RENAMED
    for folder in RENAMED.values():
        assert [file for file in (ROOT / folder).rglob("*.py") if file.parent != ROOT / folder] == []


def test_every_command_has_its_module():
    for target in SCRIPTS.values():
        package = target.partition(".")[0]
        module = target.partition(":")[0].partition(".")[2].replace(".", "/")
        assert (ROOT / RENAMED.get(package, package) / f"{module}.py").is_file()


@pytest.mark.parametrize("command", SCRIPTS)
def test_every_command_runs_as_a_module_too(command):
    module = SCRIPTS[command].partition(":")[0]
    done = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: ")


def test_the_changelog_starts_with_the_version_that_is_built():
    versions = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    released = [version for version in versions if version != "Unreleased"]
    assert released[0] == PYPROJECT["project"]["version"]
    assert versions.index(released[0]) <= 1


def test_the_licence_is_apache_2():
    assert PYPROJECT["project"]["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()[:200]


def test_every_dependency_of_an_extra_is_pinned():
    pinned = {
        re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower()
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    wanted = {
        re.split(r"[\[<>=~! ]", requirement)[0].lower()
        for requirements in PYPROJECT["project"]["optional-dependencies"].values()
        for requirement in requirements
    }
    assert wanted - {"glam-mammo"} <= pinned


def test_constraints_are_exact_versions_and_nothing_of_one_machine():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []


def test_no_tracked_file_names_a_registry_or_a_folder_of_one_machine():
    found = [
        f"{name}: {match}"
        for name, text in tracked_text().items()
        for match in [*(host for host in HOSTS if host in text), *MACHINE_PATH.findall(text)]
    ]
    assert found == []


def test_no_tracked_file_is_over_25_mb():
    assert [str(file) for file in tracked() if file.stat().st_size > 25 * MIB] == []


def test_the_golden_files_of_the_tests_stay_small():
    golden = ROOT / "tests" / "golden"
    assert size_of(golden) <= 12 * MIB
    assert [str(file) for file in golden.rglob("*") if file.is_file() and file.stat().st_size > 6 * MIB] == []


def test_the_demo_bundle_stays_small():
    demo = ROOT / "glam" / "demo"
    assert (demo / "bundle.json").is_file(), "no demo bundle: make one with make demo-bundle"
    assert size_of(demo) <= 20 * MIB
    assert [str(file) for file in demo.rglob("*") if file.is_file() and file.stat().st_size > 15 * MIB] == []


@pytest.mark.slow
def test_the_wheel_holds_the_packages_and_the_demo_bundle_and_no_tests(tmp_path: Path):
    source = tmp_path / "source"
    for file in tracked():
        target = source / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", tmp_path, source], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.partition("/")[0] for name in names if not name.partition("/")[0].endswith(".dist-info")}
    assert tops == {"glam", "glam_train", "glam_serve", "glam_export", "glam_ui"}
    assert {"glam/py.typed", "glam/demo/bundle.json", "glam/demo/vision.onnx"} <= names
