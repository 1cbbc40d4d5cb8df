"""The Makefile, as far as a person does not read it."""

import os
import re
import subprocess
from pathlib import Path

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
