"""README and docs are true: their blocks run, their commands and options exist, their tables are the program's.

Fences: `shell run` and `python run` are executed in a folder that holds CC.dcm and MLO.dcm, a real pair; of `shell`
every command must answer --help and know the options it is given; `python` must compile.
"""

import functools
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from glam.bundle import DEMO_BUNDLE, read_bundle
from glam.findings import CODES
from glam.loading import load
from glam.manifest.rules import COLUMNS
from glam_serve.demo import CURL, real_pair
from glam_serve.errors import FAULTS
from glam_serve.schema import PredictionBody, ViewBody

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
BIN = Path(sys.executable).parent


class Block(NamedTuple):
    page: str
    line: int
    kind: str
    code: str


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text()
        for match in re.finditer(r"^```(\w+(?: run)?)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
            yield Block(page.name, text[: match.start()].count("\n") + 1, match[1], match[2])


def of_kind(*kinds: str) -> list[object]:
    return [pytest.param(block, id=f"{block.page}:{block.line}") for block in blocks() if block.kind in kinds]


def commands(block: Block) -> Iterator[list[str]]:
    """Words of each command line, without what follows a pipe, a redirection, a comment or an ampersand."""
    for line in block.code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        end = next((i for i, word in enumerate(words) if word in {"|", ">", "&", "&&"}), len(words))
        words = [word for word in words[:end] if not re.fullmatch(r"[A-Z_]+=.*", word)]  # CC=... make demo
        if words:
            yield words


@functools.cache
def help_of(command: tuple[str, ...]) -> str:
    done = subprocess.run([BIN / command[0], *command[1:], "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def subcommand(words: list[str]) -> tuple[str, ...]:
    """`glam predict`, `glam-train pretrain tiny`: as many words as are names of commands."""
    command = (words[0],)
    for word in words[1:]:
        if not re.search(rf"^│ +• {re.escape(word)}\b", help_of(command), flags=re.MULTILINE):
            break
        command = (*command, word)
    return command


@pytest.mark.parametrize("block", of_kind("shell", "shell run"))
def test_every_command_exists_and_knows_its_options(block: Block):
    for words in commands(block):
        if words[0] == "make":
            makefile = (ROOT / "Makefile").read_text()
            assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in words[1:]), words
        elif words[0] in SCRIPTS:
            command = subcommand(words)
            is_one_command = words[1].startswith("-")  # `glam-ui`, which has no commands of its own
            assert is_one_command or len(command) > 1, f"{words[0]} has no command {words[1]}"
            known = help_of(command)
            assert [word for word in words if word.startswith("--") and word.partition("=")[0] not in known] == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for field, path in real_pair().items():
        (tmp_path / f"{field.upper()}.dcm").symlink_to(path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("block", of_kind("shell run"))
def test_shell_blocks_run(block: Block, folder: Path):
    script = f'export PATH="{BIN}:$PATH"\nset -euo pipefail\n{block.code}'
    done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("block", of_kind("python run"))
def test_python_blocks_run(block: Block, folder: Path):
    done = subprocess.run([sys.executable, "-c", block.code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", of_kind("python", "python run"))
def test_python_blocks_compile(block: Block):
    assert compile(block.code, f"{block.page}:{block.line}", "exec").co_code


def test_the_readme_shows_the_two_commands():
    readme = (ROOT / "README.md").read_text()
    assert "make demo" in readme
    assert CURL in readme


def test_the_sample_of_an_answer_is_one_of_the_demo_bundle():
    (sample,) = re.findall(r"^```json\n(.*?)^```$", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    answer = json.loads(sample)
    assert answer.keys() <= PredictionBody.model_fields.keys()
    assert answer["views"]["cc"].keys() <= ViewBody.model_fields.keys()
    assert answer["bundle"] == read_bundle(DEMO_BUNDLE, verify=False).sha256


@pytest.mark.slow
def test_the_sample_of_an_answer_is_what_the_demo_bundle_says():
    (sample,) = re.findall(r"^```json\n(.*?)^```$", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    pair = real_pair()
    prediction = load().predict(pair["cc"], pair["mlo"])
    answer = json.loads(sample)
    for task in ("birads", "density"):
        assert getattr(prediction, task) == pytest.approx(answer[task], abs=2e-3)
        assert getattr(prediction.views["cc"], task) == pytest.approx(answer["views"]["cc"][task], abs=2e-3)


def test_every_command_of_the_package_is_in_the_readme():
    readme = (ROOT / "README.md").read_text()
    assert [name for name in SCRIPTS if f"`{name}" not in readme] == []


def test_the_tree_of_the_readme_names_every_file_of_glam_and_none_that_is_not_there():
    (tree,) = re.findall(r"^```text\n(glam/.*?)^```$", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    shared = tree[: tree.index("\nglam_train/")]
    named = set(re.findall(r"\b(\w+\.py)\b", shared)) | {f"{name}/" for name in re.findall(r"^  (\w+)/", shared, re.M)}
    inside = ROOT / "glam"
    there = {file.name for file in inside.glob("*.py")} - {"__init__.py"}
    there |= {f"{folder.name}/" for folder in inside.iterdir() if folder.is_dir() and folder.name != "__pycache__"}
    assert named == there


def test_every_link_between_pages_leads_somewhere():
    broken = []
    for page in [*PAGES, *sorted((ROOT / "docs" / "adr").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            if not (page.parent / target).exists():
                broken.append(f"{page.name} -> {target}")
    assert broken == []


def test_the_table_of_codes_is_the_programs():
    rows = [f"| `{code}` | {kind.severity} | {kind.status} | {kind.sentence} |" for code, kind in CODES.items()]
    page = (ROOT / "docs" / "serve.md").read_text()
    table = [line for line in page.splitlines() if re.match(r"\| `\w+` \| (error|warning|info) \|", line)]
    assert table == rows, "put this into docs/serve.md:\n" + "\n".join(rows)


def test_the_other_codes_of_the_server_are_in_its_page():
    page = (ROOT / "docs" / "serve.md").read_text()
    rows = [f"| `{code}` | {fault.status} | {fault.sentence} |" for code, fault in FAULTS.items()]
    table = [line for line in page.splitlines() if re.match(r"\| `\w+` \| \d{3} \|", line)]
    assert table == rows, "put these into docs/serve.md:\n" + "\n".join(rows)


def test_the_columns_of_the_manifest_are_the_programs():
    needed = {True: "yes", False: ""}
    rows = [f"| `{c.name}` | {c.kind} | {', '.join(c.allowed)} | {needed[c.required]} |" for c in COLUMNS]
    page = (ROOT / "docs" / "train.md").read_text()
    table = [line for line in page.splitlines() if re.match(r"\| `\w+` \| \w+ \| .*\| (yes)? ?\|$", line)]
    assert table == rows, "put this into docs/train.md:\n" + "\n".join(rows)
