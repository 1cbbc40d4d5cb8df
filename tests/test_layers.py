"""The import rule: the apps import glam and themselves, glam imports none of them, torch stays in the model files."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {
    "glam": "glam",
    "glam_train": "glam_train",
    "glam_serve": "glam_serve",
    "glam_export": "export",
    "glam_ui": "ui",
}
APPS = set(FOLDERS) - {"glam"}
TORCH_FILES = {"vision", "text", "alignment", "model"}
HEAVY = {
    "cv2",
    "fastapi",
    "litserve",
    "onnx",
    "onnxruntime",
    "pandas",
    "pyarrow",
    "pydicom",
    "scipy",
    "timm",
    "tokenizers",
    "torch",
    "transformers",
}
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
CLI_MODULES = sorted(target.partition(":")[0] for target in SCRIPTS.values())


def modules() -> Iterator[tuple[str, Path]]:
    """(package, file) of every module of the project."""
    for package, folder in FOLDERS.items():
        for file in sorted((ROOT / folder).rglob("*.py")):
            yield package, file


def imported(file: Path) -> set[str]:
    """First names of the absolute imports anywhere in a file; a relative import stays in its package."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names


def loaded_by(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has after a statement."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    return set(outcome.stdout.split())


def test_glam_imports_no_app_and_the_apps_import_only_glam_and_themselves():
    sideways = [
        f"{file.relative_to(ROOT)} imports {name}"
        for package, file in modules()
        for name in sorted(imported(file) & (APPS - {package}))
    ]
    assert sideways == []


def test_torch_is_imported_only_by_the_model_files_of_glam():
    strays = [
        str(file.relative_to(ROOT))
        for package, file in modules()
        if package == "glam"
        and file.relative_to(ROOT / "glam").with_suffix("").parts[0] not in TORCH_FILES
        and imported(file) & {"torch", "timm", "transformers"}
    ]
    assert strays == []


def test_importing_glam_imports_nothing_heavy():
    assert loaded_by("import glam") & HEAVY == set()


def test_the_functions_of_glam_are_found_whatever_was_imported_before():
    statements = "import glam; glam.load, glam.read_view; import glam.loading; assert callable(glam.load)"
    assert "glam" in loaded_by(f"{statements}; assert callable(glam.load) and callable(glam.read_view)")


@pytest.mark.parametrize("module", CLI_MODULES)
def test_a_command_line_loads_nothing_heavy_before_it_knows_the_command(module: str):
    assert loaded_by(f"import {module}") & HEAVY == set()


@pytest.mark.parametrize("module", ["glam_serve.api", "glam.predict"])
def test_answering_brings_no_torch_and_no_scipy(module: str):
    assert loaded_by(f"import {module}") & {"torch", "timm", "transformers", "scipy"} == set()


def test_the_phantom_and_the_training_package_import_without_pydicom_and_tyro():
    assert loaded_by("import glam.phantom, glam_train") & {"pydicom", "tyro", "cv2", "torch"} == set()
