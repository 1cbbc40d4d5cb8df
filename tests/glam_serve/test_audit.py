"""The audit log: every kind of tampering is noticed, and many writers keep one chain."""

import json
import multiprocessing
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from glam_serve.audit import FIRST, AuditLog, _hash, verify

Lines = list[bytes]


def entry(number: int) -> dict:
    return {"request_id": f"id-{number}", "bundle": "b" * 64, "route": "/predict", "status": 200}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of five lines."""
    audit = AuditLog(tmp_path / "audit")
    for number in range(5):
        audit.append(**entry(number))
    return audit.path


def test_a_whole_log_is_verified_by_its_count_and_last_hash(log: Path):
    lines = [json.loads(line) for line in log.read_bytes().splitlines()]
    assert [line["previous"] for line in lines] == [FIRST, *(line["hash"] for line in lines[:-1])]
    assert verify(log) == (5, lines[-1]["hash"])
    assert list(lines[0]) == ["time", "request_id", "bundle", "route", "status", "previous", "hash"]


def test_only_its_owner_can_read_it(log: Path):
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def changed(lines: Lines) -> Lines:
    return [*lines[:2], lines[2].replace(b"200", b"500"), *lines[3:]]


def rehashed(lines: Lines) -> Lines:
    """A line changed together with its own hash."""
    line = json.loads(lines[2]) | {"status": 500}
    line["hash"] = _hash({key: value for key, value in line.items() if key != "hash"})
    return [*lines[:2], json.dumps(line).encode() + b"\n", *lines[3:]]


TAMPERED: dict[str, tuple[Callable[[Lines], Lines], int]] = {
    "a changed value": (changed, 3),
    "a changed value and hash": (rehashed, 4),
    "a line taken out": (lambda lines: lines[:2] + lines[3:], 3),
    "the first line taken out": (lambda lines: lines[1:], 1),
    "lines swapped": (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], 2),
    "a line twice": (lambda lines: [*lines[:2], lines[1], *lines[2:]], 3),
    "a line put in": (lambda lines: [*lines[:2], json.dumps(entry(9) | {"hash": "0"}).encode() + b"\n", *lines[2:]], 3),
    "a key added": (lambda lines: [lines[0].replace(b"{", b'{"note": "x", ', 1), *lines[1:]], 1),
    "no JSON": (lambda lines: [*lines[:4], b"hello\n"], 5),
    "a list": (lambda lines: [*lines[:4], b"[]\n"], 5),
    "half a last line": (lambda lines: [*lines[:4], lines[4][:30]], 5),
}


@pytest.mark.parametrize("kind", TAMPERED)
def test_tampering_is_noticed_at_its_line(log: Path, kind: str):
    tamper, number = TAMPERED[kind]
    log.write_bytes(b"".join(tamper(log.read_bytes().splitlines(keepends=True))))
    with pytest.raises(ValueError, match=f"line {number} of "):
        verify(log)


def test_a_log_cut_at_its_end_has_another_last_hash(log: Path):
    before = verify(log)
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))
    after = verify(log)
    assert (after.num_lines, after.last_hash != before.last_hash) == (4, True)


def test_a_log_goes_on_after_a_restart(log: Path):
    AuditLog(log).append(**entry(5))
    assert verify(log).num_lines == 6


def test_a_log_that_ends_in_half_a_line_is_not_written_to(log: Path):
    audit = AuditLog(log)
    log.write_bytes(log.read_bytes()[:-10])
    with pytest.raises(ValueError, match="half a line"):
        audit.append(**entry(5))
    with pytest.raises(ValueError, match="half a line"):
        AuditLog(log)


def test_a_log_that_was_removed_is_not_begun_anew_behind_the_operators_back(log: Path):
    audit = AuditLog(log)
    log.unlink()
    with pytest.raises(FileNotFoundError):
        audit.append(**entry(5))


def append_many(audit: AuditLog) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: audit.append(**entry(number)), range(25)))


def test_threads_of_forked_processes_keep_one_chain(tmp_path: Path):
    audit = AuditLog(tmp_path / "audit")
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=append_many, args=(audit,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert verify(audit.path).num_lines == 75


def test_a_line_that_does_not_fit_on_the_disk_leaves_no_half(log: Path):
    before = log.read_bytes()
    code = f"""
import resource, signal
from pathlib import Path
from glam_serve.audit import AuditLog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 50}, {len(before) + 50}))
try:
    AuditLog(Path({str(log)!r})).append(**{entry(5)!r})
except OSError as error:
    print(error.strerror)
"""
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert outcome.stdout == "No space left on device\n"
    assert log.read_bytes() == before
    assert verify(log).num_lines == 5


def test_the_command_prints_count_and_last_hash(log: Path):
    command = [sys.executable, "-m", "glam_serve.cli", "audit", "verify", str(log)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(outcome.stdout) == {"lines": 5, "last_hash": verify(log).last_hash}


def test_the_command_fails_with_one_line_for_a_broken_chain(log: Path):
    log.write_bytes(log.read_bytes().replace(b"id-1", b"id-7"))
    command = [sys.executable, "-m", "glam_serve.cli", "audit", "verify", str(log)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (outcome.returncode, outcome.stdout) == (1, "")
    assert outcome.stderr == f"glam-serve: line 2 of {log} was changed, or lines before it were\n"
