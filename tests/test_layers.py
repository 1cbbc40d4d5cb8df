"""The import rule: the apps import glam and themselves, glam imports none of them, nothing runs in a circle."""

import ast
import re
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
TORCH_ROOM = "model"
HEAVY = {
    "cv2",
    "fastapi",
    "litserve",
    "onnx",
    "onnxruntime",
    "pandas",
    "pyarrow",
    "pydicom",
    "ray",
    "s3fs",
    "scipy",
    "timm",
    "tokenizers",
    "torch",
    "transformers",
    "tritonclient",
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


def module_name(package: str, file: Path) -> str:
    """Dotted name of a module of a package."""
    parts = file.relative_to(ROOT / FOLDERS[package]).with_suffix("").parts
    return ".".join([package, *(part for part in parts if part != "__init__")])


def type_checking_only(tree: ast.AST) -> set[ast.AST]:
    """Nodes below `if TYPE_CHECKING`, which no program imports."""
    guards = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
    return {below for guard in guards for node in guard.body for below in ast.walk(node)}


def import_graph() -> dict[str, set[str]]:
    """Module -> the project's modules that it imports anywhere, in functions too."""
    files = {module_name(package, file): file for package, file in modules()}
    graph: dict[str, set[str]] = {}
    for name, file in files.items():
        tree = ast.parse(file.read_text())
        skipped = type_checking_only(tree)
        home = name if file.name == "__init__.py" else name.rpartition(".")[0]
        wanted: set[str] = set()
        for node in ast.walk(tree):
            if node in skipped:
                continue
            if isinstance(node, ast.Import):
                wanted |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                above = ".".join(home.split(".")[: len(home.split(".")) - node.level + 1]) if node.level else ""
                base = ".".join(filter(None, (above, node.module)))
                wanted |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
        packages_above = {name[: place.start()] for place in re.finditer(r"\.", name)}
        graph[name] = (wanted & files.keys()) - {name} - packages_above
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Modules that import each other, directly or by others; one list a circle."""
    reach = {name: set(targets) for name, targets in graph.items()}
    for middle in graph:
        for name in graph:
            if middle in reach[name]:
                reach[name] |= reach[middle]
    groups = {frozenset(other for other in reach[name] if name in reach[other]) for name in graph}
    return sorted(sorted(group) for group in groups if group)


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


def test_torch_is_imported_only_in_the_room_of_the_model():
    strays = [
        str(file.relative_to(ROOT))
        for package, file in modules()
        if package == "glam"
        and file.relative_to(ROOT / "glam").parts[0] != TORCH_ROOM
        and imported(file) & {"torch", "timm", "transformers"}
    ]
    assert strays == []


def test_the_client_of_triton_is_imported_in_one_module():
    places = {str(file.relative_to(ROOT)) for _, file in modules() if "tritonclient" in imported(file)}
    assert places == {"glam/triton/client.py"}


def test_importing_glam_imports_nothing_heavy():
    assert loaded_by("import glam") & HEAVY == set()


def test_the_functions_of_glam_are_found_whatever_was_imported_before():
    statements = "import glam; glam.load, glam.read_view; import glam.loading; assert callable(glam.load)"
    assert "glam" in loaded_by(f"{statements}; assert callable(glam.load) and callable(glam.read_view)")


@pytest.mark.parametrize("module", CLI_MODULES)
def test_a_command_line_loads_nothing_heavy_before_it_knows_the_command(module: str):
    assert loaded_by(f"import {module}") & HEAVY == set()


@pytest.mark.parametrize("module", ["glam_serve.worker", "glam.predict"])
def test_answering_brings_no_torch_and_no_scipy(module: str):
    assert loaded_by(f"import {module}") & {"torch", "timm", "transformers", "scipy"} == set()


def test_the_phantom_and_the_training_package_import_without_pydicom_and_tyro():
    assert loaded_by("import glam.phantom, glam_train") & {"pydicom", "tyro", "cv2", "torch"} == set()


def test_no_import_runs_in_a_circle_not_even_one_inside_a_function():
    assert circles(import_graph()) == []


def test_a_circle_would_be_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def test_what_reads_and_finds_does_not_know_who_prepares_and_predicts():
    callers = {f"glam.{name}" for name in ("prepare", "pair", "predict", "loading", "bundle", "inspection", "cli")}
    below = ("glam.reading.", "glam.anatomy.", "glam.words.", "glam.frame", "glam.view", "glam.findings", "glam.config")
    back = {name: targets & callers for name, targets in import_graph().items() if name.startswith(below)}
    assert {name for name, targets in back.items() if targets} == set()


def test_only_the_tests_of_the_benchmarks_import_a_benchmark():
    files = [file for file in (ROOT / "tests").rglob("*.py") if file.parent.name != "bench"]
    assert [str(file.relative_to(ROOT)) for file in files if "bench" in imported(file)] == []


def test_the_map_of_the_server_names_every_module_of_it():
    text = ast.get_docstring(ast.parse((ROOT / "glam_serve" / "__init__.py").read_text())) or ""
    named = [
        name for line in text.splitlines() if line.startswith("- ") for name in re.findall(r"\w+", line.split(":")[1])
    ]
    assert sorted(named) == sorted(file.stem for file in (ROOT / "glam_serve").glob("*.py") if file.stem != "__init__")


def test_the_map_of_the_viewer_names_every_module_of_it():
    text = ast.get_docstring(ast.parse((ROOT / "ui" / "__init__.py").read_text())) or ""
    server, page = text.split("(.mjs)")
    for part, suffix in ((server, "py"), (page, "mjs")):
        lines = [line.split(":")[1] for line in part.splitlines() if line.startswith("- ")]
        named = [name for line in lines for name in re.findall(r"\w+", line)]
        there = [file.stem for file in (ROOT / "ui").glob(f"*.{suffix}") if file.stem != "__init__"]
        assert sorted(named) == sorted(there)
