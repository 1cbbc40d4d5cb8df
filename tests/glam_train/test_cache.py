import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from glam.config import FrameConfig
from glam.frame import make_frame
from glam.prepare import ModelInput
from glam_train.data.cache import (
    SHARD_PAIRS,
    CacheError,
    PreparedPair,
    build_shard,
    fill_cache,
    open_cache_folder,
    read_cache,
    verify_pixels,
)

FRAME = FrameConfig(size=28)


def square(value: float) -> ModelInput:
    frame = make_frame(np.diag([0.5, 0.5, 1.0]), size=28, rows=56, cols=56)
    return ModelInput(pixels=np.full((28, 28), value, np.float32), frame=frame, findings=())


def pair(key: int) -> PreparedPair:
    return PreparedPair(cc=square(key / 200), mlo=square(key / 400), record={"pair_id": f"pair-{key}"})


def build(folder, keys, make=pair):
    open_cache_folder(folder, FRAME, {"kind": "toy"}, num_pairs=len(keys))
    for index, start in enumerate(range(0, len(keys), SHARD_PAIRS)):
        build_shard(folder, index, keys[start : start + SHARD_PAIRS], make)


def test_what_is_written_is_read_back_in_order(tmp_path):
    build(tmp_path, range(130))
    cache = read_cache(tmp_path)
    assert [record["pair_id"] for record in cache.records] == [f"pair-{key}" for key in range(130)]
    assert cache.squares(129)[0, 0, 0] == round(129 / 200 * 65535)
    assert cache.squares(64)[1, 0, 0] == round(64 / 400 * 65535)
    assert cache.records[0]["frames"]["cc"]["size"] == 28


def test_a_killed_run_goes_on_where_it_stopped(tmp_path):
    made = []

    def dies_in_the_second_shard(key):
        if key == 70:
            raise KeyboardInterrupt
        made.append(key)
        return pair(key)

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, range(130), dies_in_the_second_shard)
    with pytest.raises(CacheError, match="1 of 3 shards"):
        read_cache(tmp_path)
    made.clear()
    build(tmp_path, range(130), lambda key: made.append(key) or pair(key))
    assert made == list(range(64, 130))
    assert len(read_cache(tmp_path)) == 130


@pytest.mark.parametrize(("num_pairs", "workers"), [(130, 1), (5, 4)])
def test_work_for_one_is_done_in_this_process(tmp_path, num_pairs, workers):
    made = []
    open_cache_folder(tmp_path, FRAME, {"kind": "toy"}, num_pairs=num_pairs)
    done = list(fill_cache(tmp_path, range(num_pairs), lambda key: made.append(key) or pair(key), workers=workers))
    assert done == [*range(SHARD_PAIRS, num_pairs, SHARD_PAIRS), num_pairs]
    assert made == list(range(num_pairs))


def test_several_processes_write_what_one_does(tmp_path):
    folders = {workers: tmp_path / str(workers) for workers in (1, 2)}
    for workers, folder in folders.items():
        open_cache_folder(folder, FRAME, {"kind": "toy"}, num_pairs=70)
        assert list(fill_cache(folder, range(70), pair, workers=workers)) == [SHARD_PAIRS, 70]
    one, two = (sorted(path for path in folder.iterdir()) for folder in folders.values())
    assert [path.name for path in one] == [path.name for path in two]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_a_pair_that_cannot_be_used_is_left_out(tmp_path):
    build(tmp_path, range(4), lambda key: None if key == 2 else pair(key))
    assert [record["pair_id"] for record in read_cache(tmp_path).records] == ["pair-0", "pair-1", "pair-3"]


def test_another_preparation_is_refused(tmp_path):
    build(tmp_path, range(2))
    with pytest.raises(CacheError, match="prepared another way"):
        open_cache_folder(tmp_path, FrameConfig(size=42), {"kind": "toy"}, num_pairs=2)


def test_a_torn_shard_is_refused(tmp_path):
    build(tmp_path, range(2))
    with (tmp_path / "shard-00000.jsonl").open("a") as file:
        file.write(json.dumps({"pair_id": "extra"}) + "\n")
    with pytest.raises(CacheError, match="lists 3 pairs but its pixels are 2"):
        read_cache(tmp_path)


def test_an_empty_folder_says_how_to_make_a_cache(tmp_path):
    with pytest.raises(CacheError, match="glam-train prepare"):
        read_cache(tmp_path)


def test_a_cache_does_not_grow(tmp_path):
    build(tmp_path, range(2))
    with pytest.raises(CacheError, match="other data"):
        build(tmp_path, range(4))


def test_a_cache_of_another_version_is_refused(tmp_path):
    build(tmp_path, range(2))
    header = tmp_path / "cache.json"
    header.write_text(json.dumps(json.loads(header.read_text()) | {"prepare_sha": "dead"}))
    with pytest.raises(CacheError, match="another version"):
        read_cache(tmp_path)


def test_a_cache_without_a_usable_pair_says_so(tmp_path):
    build(tmp_path, range(3), lambda key: None)
    with pytest.raises(CacheError, match="holds no pair"):
        read_cache(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "does not read"),
        ("{}", "has no frame, prepare_sha, source, pairs"),
        ('{"frame": {}, "prepare_sha": "", "source": {}, "pairs": "two"}', "has pairs 'two', no number"),
        ('{"frame": {"x": 1}, "prepare_sha": "", "source": {}, "pairs": 2}', "prepared by another version"),
    ],
)
def test_a_header_that_is_none_is_refused(tmp_path, content, message):
    (tmp_path / "cache.json").write_text(content)
    with pytest.raises(CacheError, match=message):
        read_cache(tmp_path)


@pytest.mark.parametrize("size", [0, 500, None])
def test_a_damaged_shard_is_refused(tmp_path, size):
    build(tmp_path, range(2))
    pixels = tmp_path / "shard-00000.npy"
    if size is None:
        pixels.unlink()
    else:
        pixels.write_bytes(pixels.read_bytes()[:size])
    with pytest.raises(CacheError, match=r"shard-00000.npy or .jsonl is damaged .*: delete both and prepare again"):
        read_cache(tmp_path)


def test_pixels_that_are_not_those_that_were_prepared_name_their_shard(tmp_path):
    build(tmp_path, range(SHARD_PAIRS + 2))
    assert list(verify_pixels(read_cache(tmp_path))) == list(range(1, SHARD_PAIRS + 3))
    pixels = np.load(tmp_path / "shard-00001.npy", mmap_mode="r+")
    pixels[1, 0] = 0
    pixels.flush()
    with pytest.raises(CacheError, match=r"shard-00001.npy is damaged: the pixels of .*run the command of the cache"):
        list(verify_pixels(read_cache(tmp_path)))


def test_a_shard_is_the_file_that_numpy_writes(tmp_path):
    build(tmp_path / "whole", range(2))
    build(tmp_path / "empty", range(1), make=lambda key: None)
    for name in ("whole", "empty"):
        path = tmp_path / name / "shard-00000.npy"
        np.save(tmp_path / "again.npy", np.load(path))
        assert path.read_bytes() == (tmp_path / "again.npy").read_bytes()


def test_a_full_disk_is_told_in_one_line_and_the_whole_shards_stay(tmp_path):
    build(tmp_path, range(SHARD_PAIRS))
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, unlimited[1]))
    try:
        with pytest.raises(CacheError, match=r"shard-00001 cannot be written into .*; 1 shards are whole: make room"):
            build_shard(tmp_path, 1, range(9), pair)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert sorted(path.name for path in tmp_path.glob("*shard*")) == ["shard-00000.jsonl", "shard-00000.npy"]


SLOW = """
import os, sys, time
from pathlib import Path
from glam_train.data.cache import fill_cache

def build(key):
    (Path(sys.argv[1]) / f"worker-{os.getpid()}").touch()
    time.sleep(600)

if __name__ == "__main__":
    list(fill_cache(Path(sys.argv[1]), range(200), build, workers=2))
"""


def test_workers_end_when_the_command_is_killed(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    command = subprocess.Popen([sys.executable, tmp_path / "slow.py", tmp_path])
    workers = waited(lambda: [int(path.name[7:]) for path in tmp_path.glob("worker-*")], lambda pids: len(pids) == 2)
    command.kill()
    command.wait()
    left = waited(lambda: [pid for pid in workers if running(pid)], lambda pids: not pids, timeout_s=60)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def waited(look, done, *, timeout_s: float = 120):
    """What `look` finds as soon as `done` holds of it, or when time is over."""
    end = time.monotonic() + timeout_s
    while not done(found := look()) and time.monotonic() < end:
        time.sleep(0.2)
    return found
