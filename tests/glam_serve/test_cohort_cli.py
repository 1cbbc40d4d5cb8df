"""The command line of `glam-embed`: exit codes, and one sentence of why."""

import sys
from pathlib import Path

import pytest

from glam.store.planned import PLAN_SCHEMA
from glam.store.schema import (
    MANIFEST_FILE,
    REJECTED_FILE,
    RUN_FILE,
    SALT_FILE,
    STORE_FORMAT,
    SUCCESS_FILE,
    SUMMARY_FILE,
    errors_name,
    errors_schema,
    part_name,
    part_schema,
)
from glam_serve.cohort.cli import main
from glam_serve.cohort.decoders import FAULT_SENTENCES
from glam_serve.cohort.folder import DUPLICATE
from glam_serve.cohort.items import FILE_SENTENCES
from tests.samples.stores import write_store

AT_TRITON = ("--runtime", "triton", "--triton-url", "grpc://127.0.0.1:8001")
BY_TORCH = ("--runtime", "torch", "--checkpoint", "b")


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run a command line; return its exit code and what it said on stderr."""

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["glam-embed", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        return (code if isinstance(code, int) else 1), capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run"], "one of --manifest FILE, --folder DIR and --dicomweb URL"),
        (["run", "--manifest", "a.csv", "--folder", "b"], "one of --manifest FILE, --folder DIR and --dicomweb URL"),
        (["run", "--manifest", "a.csv", "--query", "StudyDate=20240101"], "--query and --auth-file go with --dicomweb"),
        (["run", "--dicomweb", "https://ann:pw@pacs.example"], "has credentials in it"),
        (["run", "--dicomweb", "https://pacs.example", "--query", "Nothing=1"], "--query takes KEY=VALUE"),
        (["run", "--dicomweb", "https://pacs.example", "--engine", "ray"], "fetch on one machine"),
        (["run", "--manifest", "a.csv", "--shard-size", "0"], "--shard-size 0 is not from 1 to 1,000,000"),
        (["run", "--manifest", "a.csv", "--shard-size", "1" + 30 * "0"], "is not from 1 to 1,000,000"),
        (["run", "--manifest", "a.csv", "--max-errors", "5"], "--max-errors 5.0 is not a share from 0 to 1"),
        (["run", "--manifest", "a.csv", "--workers", "0"], "workers 0 is not above 0"),
        (["run", "--manifest", "a.csv", "--threads", "0"], "--threads 0 is not above 0"),
        (["run", "--manifest", "a.csv", "--timeout-s", "nan"], "timeout_s nan is not above 0 and at most 1000000"),
        (["run", "--manifest", "a.csv", "--timeout-s", "inf"], "timeout_s inf is not above 0 and at most 1000000"),
        (["run", "--manifest", "a.csv", "--runtime", "torch"], "--runtime torch and --checkpoint DIR go together"),
        (["run", "--manifest", "a.csv", "--checkpoint", "b"], "--runtime torch and --checkpoint DIR go together"),
        (["run", "--manifest", "a.csv", "--runtime", "triton"], "--runtime triton and --triton-url URL go together"),
        (["run", "--manifest", "a.csv", *AT_TRITON[2:]], "--runtime triton and --triton-url URL go together"),
        (["run", "--manifest", "a.csv", *AT_TRITON[:3], "h:8001"], "write grpc://HOST:8001 or http://HOST:8000"),
        (["run", "--manifest", "a.csv", *AT_TRITON, "--variant", "int8"], "are of --runtime onnx, not of triton"),
        (["run", "--manifest", "a.csv", *BY_TORCH, "--variant", "fused"], "are of --runtime onnx, not of torch"),
        (["run", "--manifest", "a.csv", *BY_TORCH, "--provider", "CUDA"], "are of --runtime onnx, not of torch"),
        (["run", "--manifest", "a.csv", "--level", "pair"], ""),
        ([], ""),
    ],
)
def test_a_command_line_that_says_too_little_or_too_much_ends_with_2(call, words: list[str], said: str):
    code, err = call(*words)
    assert code == 2
    assert said in err


def test_what_fails_ends_with_1_and_its_code(call, tmp_path: Path):
    assert call("status", str(tmp_path)) == (
        1,
        f"glam-embed: no_store: no store at {tmp_path}: make one with glam-embed run --out {tmp_path}\n",
    )
    code, err = call("run", "--manifest", str(tmp_path / "m.csv"), "--out", str(tmp_path / "s"))
    assert (code, "no file at" in err) == (1, True)
    for not_a_folder in (tmp_path / "nowhere", Path(__file__)):
        code, err = call("run", "--folder", str(not_a_folder), "--out", str(tmp_path / "s"))
        assert (code, "no folder at" in err) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_a_sound_store_ends_with_0(call, tmp_path: Path):
    write_store(tmp_path / "s", ["e1"])
    assert call("verify", str(tmp_path / "s")) == (0, "")


def test_the_page_names_every_code_and_every_column():
    page = (Path(__file__).parents[2] / "docs" / "cohort.md").read_text()
    codes = {*FILE_SENTENCES, *FAULT_SENTENCES, DUPLICATE}
    columns = set(part_schema("image", dim=4, dtype="float32", probabilities=["birads_0", "density_a"]).names)
    columns |= {*PLAN_SCHEMA.names, *errors_schema("image").names}
    files = {
        RUN_FILE,
        MANIFEST_FILE,
        REJECTED_FILE,
        SUCCESS_FILE,
        SUMMARY_FILE,
        SALT_FILE,
        part_name(0),
        errors_name(0),
    }
    assert sorted(name for name in codes | columns | files if f"`{name}`" not in page) == []
    assert f"(format {STORE_FORMAT})" in page
