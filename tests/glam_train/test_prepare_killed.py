"""`glam-train prepare` with several workers, killed: no process stays, and the cache is gone on with."""

import csv
import json
import os
import signal
import time
from pathlib import Path

import pytest

from glam.phantom.exam import write_exams
from glam_train.data.cache import SHARD_PAIRS, CacheError, fill_cache, read_cache, verify_pixels
from glam_train.data.shard_files import filling
from tests.samples.trainings import PROGRAM, started, wait_for

EXAMS = SHARD_PAIRS // 2 + 2
"""A shard and two pairs more, of two breasts each."""
MARK = "GLAM_TEST_MARK"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Many exams that share the files of one."""
    first = write_exams(tmp_path / "phantoms", num_exams=1, seed=3)
    with first.open(newline="") as file:
        rows = list(csv.DictReader(file))
    path = tmp_path / "manifest.csv"
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0].keys())
        table.writeheader()
        for exam in range(EXAMS):
            named = dict.fromkeys(("patient_id", "exam_id"), f"{exam:03d}")
            for row in rows:
                place = {"path": str(first.parent / row["path"]), "split": "train"}
                table.writerow(row | named | place | {"image_id": f"{exam:03d}-{row['laterality']}{row['view']}"})
    return path


def marked(mark: str) -> list[int]:
    """The processes, that have not ended, in whose environment the mark is."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def nothing(key: int) -> None:
    del key


def test_a_second_command_does_not_fill_a_cache_that_one_fills(tmp_path: Path):
    with filling(tmp_path), pytest.raises(ValueError, match="another command fills the cache at"):
        list(fill_cache(tmp_path, range(3), nothing, workers=1))
    assert list(fill_cache(tmp_path, range(3), nothing, workers=1)) == [3]


def test_a_cache_that_is_whole_is_not_written_to(tmp_path: Path):
    list(fill_cache(tmp_path, range(3), nothing, workers=1))
    with filling(tmp_path):
        assert list(fill_cache(tmp_path, range(3), nothing, workers=1)) == [3]


def test_parts_of_shards_that_a_killed_command_left_are_removed(tmp_path: Path):
    (tmp_path / ".shard-00007.npy.12000.part").touch()
    list(fill_cache(tmp_path, range(3), nothing, workers=1))
    assert not list(tmp_path.glob("*.part")) + list(tmp_path.glob(".*.part"))


@pytest.mark.slow
@pytest.mark.alone
def test_a_killed_command_leaves_no_process_and_a_cache_that_the_next_one_fills(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(MARK, str(tmp_path))
    cache = tmp_path / "cache"
    words = ["prepare", "--manifest", manifest, "--out", cache, "--preset", "tiny", "--workers", "2"]
    command = [*map(str, [*PROGRAM, *words])]
    process = started(command)
    wait_for(process, cache, "shard-00001.jsonl")  # the short one; the other is under way
    assert len(marked(str(tmp_path))) >= 3
    process.kill()
    process.communicate()
    end = time.monotonic() + 30
    while (left := marked(str(tmp_path))) and time.monotonic() < end:
        time.sleep(0.1)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []
    with pytest.raises(CacheError, match="has 1 of 2 shards: run its command again"):
        read_cache(cache)
    process = started(command)
    printed, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert json.loads(printed) == {"pairs": 2 * EXAMS, "of": 2 * EXAMS, "breasts_with_one_view": 0}
    filled = read_cache(cache)
    assert list(verify_pixels(filled))[-1] == 2 * EXAMS
    by_breast = {record["facts"]["laterality"]: set() for record in filled.records}
    for record in filled.records:
        by_breast[record["facts"]["laterality"]].add(record["pixels_sha256"])
    assert {side: len(hashes) for side, hashes in by_breast.items()} == {"L": 1, "R": 1}
    assert marked(str(tmp_path)) == []
