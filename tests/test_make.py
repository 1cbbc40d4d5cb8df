"""The Makefile, as far as a person does not read it."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from glam.bundle import read_bundle

ROOT = Path(__file__).parents[1]


def printed(*words: str, **variables: str) -> str:
    """What make prints in the root of the project."""
    environment = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL"}}
    command = ["make", "--no-print-directory", *words]
    made = subprocess.run(command, cwd=ROOT, env=environment | variables, capture_output=True, text=True, check=True)
    return made.stdout


def test_the_second_pass_is_given_every_file_with_tests_that_run_alone():
    marked = re.compile(r"\bmark\.alone\b")
    having = {file for file in (ROOT / "tests").rglob("*.py") if marked.search(file.read_text())}
    (line,) = [line for line in printed("--dry-run", "test").splitlines() if " -m alone " in line]
    given = [ROOT / word for word in line.partition(" -m alone ")[2].split()]
    assert set(given) == having
    assert Path(__file__).with_name("test_deploy.py") in given


def test_what_make_starts_keeps_its_bytecode():
    rule = 'said: ; @echo "[$$PYTHONDONTWRITEBYTECODE]"'
    assert printed(f"--eval={rule}", "said", PYTHONDONTWRITEBYTECODE="1") == "[]\n"


def recipe(*words: str) -> list[list[str]]:
    """The commands of a target, as words, where the environment is made."""
    lines = printed("--dry-run", "--old-file=.venv/.installed", *words).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines]


def test_smoke_goes_from_phantoms_to_a_bundle_with_its_figures():
    commands = recipe("smoke", "SMOKE=here", "SMOKE_PAIRS=5")
    steps = [" ".join(words[index + 1 : index + 2]) for words in commands for index in programs(words)]
    assert steps == ["prepare-phantoms", "pretrain", "provenance", "onnx", "evaluate", "provenance", "onnx"]
    assert "--pairs 5" in " ".join(commands[1])
    options = {word for words in commands for word in words if word.startswith("--")}
    assert {"--preset", "--steps", "--provenance", "--results", "--overwrite"} <= options
    assert commands[-2:] == [
        ["echo", "bundle: here/bundle"],
        ["echo", "figures: here/figures.json, and on the bundle's card"],
    ]


def programs(words: list[str]) -> list[int]:
    """Where in a command a program of ours stands."""
    return [index for index, word in enumerate(words) if re.fullmatch(r".*/glam-(train|export)", word)]


@pytest.mark.slow
def test_smoke_at_its_smallest_ends_with_a_bundle_that_carries_its_figures(tmp_path: Path):
    place, tools = tmp_path / "smoke", Path(sys.executable).parent
    sizes = [f"SMOKE={place}", f"BIN={tools}", "SMOKE_PAIRS=16", "SMOKE_STEPS=1", "SMOKE_EXAMS=1"]
    told = printed("--old-file=.venv/.installed", "smoke", *sizes).splitlines()
    assert told[-2:] == [f"bundle: {place}/bundle", f"figures: {place}/figures.json, and on the bundle's card"]
    figures = json.loads((place / "figures.json").read_text())
    bundle = read_bundle(place / "bundle")
    assert bundle.metrics == figures
    assert figures["figures"].keys() >= {"density_macro_auc", "hits"}
