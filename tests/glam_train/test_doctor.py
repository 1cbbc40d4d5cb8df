"""`glam-train doctor` on caches damaged in every way that was thought of."""

import json

import numpy as np
import pytest

from glam.config import FrameConfig
from glam.frame import make_frame
from glam.prepare import ModelInput
from glam_train.cli import main
from glam_train.data.cache import SHARD_PAIRS, CacheError, PreparedPair, build_shard, open_cache_folder, read_cache

FRAME = FrameConfig(size=28)


def square(value: float) -> ModelInput:
    frame = make_frame(np.eye(3), size=28, rows=28, cols=28)
    return ModelInput(pixels=np.full((28, 28), value, np.float32), frame=frame, findings=())


def pair(key: int) -> PreparedPair:
    return PreparedPair(cc=square(key / 200), mlo=square(key / 400), record={"pair_id": f"pair-{key}", "facts": {}})


@pytest.fixture
def folder(tmp_path):
    """Three shards of 130 pairs."""
    open_cache_folder(tmp_path, FRAME, {"kind": "toy"}, num_pairs=130)
    for index in range(3):
        build_shard(tmp_path, index, range(130)[index * SHARD_PAIRS : (index + 1) * SHARD_PAIRS], pair)
    return tmp_path


def examined(folder, capsys) -> tuple[int, dict, str]:
    code = main(["doctor", "--cache", str(folder)])
    captured = capsys.readouterr()
    return code, json.loads(captured.out), captured.err


def test_a_whole_cache_has_no_fault(folder, capsys):
    assert examined(folder, capsys) == (0, {"shards": 3, "pairs": 130, "faults": []}, "")


def test_every_faulty_shard_and_record_is_named_not_the_first_alone(folder, capsys):
    for shard, place in ((0, 5), (0, 9), (2, 1)):
        pixels = np.load(folder / f"shard-{shard:05d}.npy", mmap_mode="r+")
        pixels[place, 1] = 0
        pixels.flush()
    code, found, said = examined(folder, capsys)
    assert code == 1
    assert [(fault["shard"], fault["record"]) for fault in found["faults"]] == [
        ("shard-00000", "pair-5"), ("shard-00000", "pair-9"), ("shard-00002", "pair-129"),
    ]  # fmt: skip
    assert {fault["fault"] for fault in found["faults"]} == {"its pixels are not those that were prepared"}
    assert said.startswith("3 faults in 2 of 3 shards (shard-00000, shard-00002): delete the .npy and .jsonl of each")
    assert said.count("\n") == 1


def cut(folder):
    path = folder / "shard-00001.npy"
    path.write_bytes(path.read_bytes()[:-1000])


def empty(folder):
    (folder / "shard-00001.npy").write_bytes(b"")


def lengthen(folder):
    with (folder / "shard-00001.npy").open("ab") as file:
        file.write(b"more")


def tear_records(folder):
    path = folder / "shard-00001.jsonl"
    path.write_text(path.read_text()[:-30])


def drop_a_record(folder):
    path = folder / "shard-00001.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def replace_pixels(folder):
    np.save(folder / "shard-00001.npy", np.zeros((64, 2, 28, 28), np.float32))


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (cut, "its pixels have 199832 bytes of 200832"),
        (lengthen, "its pixels have 200836 bytes of 200832"),
        (empty, "its pixels, of 0 bytes, have no header that reads"),
        (lambda folder: (folder / "shard-00001.npy").unlink(), "its pixels are not there"),
        (lambda folder: (folder / "shard-00001.jsonl").unlink(), "is not there: the cache is not whole"),
        (replace_pixels, "its pixels are float32 of (64, 2, 28, 28), not two views a pair in 16 bit"),
        (tear_records, "line 64 of its records does not read"),
        (drop_a_record, "lists 63 pairs but its pixels are 64"),
    ],
)  # fmt: skip
def test_a_shard_that_cannot_be_read_is_told_in_words(folder, capsys, damage, fault):
    damage(folder)
    code, found, _ = examined(folder, capsys)
    assert code == 1
    assert found["faults"] == [{"shard": "shard-00001", "record": None, "fault": fault}]
    assert found["pairs"] == 66
    with pytest.raises(CacheError, match="shard") as stop:
        read_cache(folder)
    if "bytes of" in fault or "line" in fault:
        assert f"({fault})" in str(stop.value)


def test_a_record_without_what_training_reads_is_named(folder, capsys):
    path = folder / "shard-00002.jsonl"
    first, second = (json.loads(line) for line in path.read_text().splitlines())
    path.write_text(json.dumps(first | {"facts": {}}) + "\n" + json.dumps({"pair_id": second["pair_id"]}) + "\n")
    _, found, _ = examined(folder, capsys)
    assert found["faults"] == [
        {"shard": "shard-00002", "record": "pair-129", "fault": "has no facts, frames, pixels_sha256 in its record"}
    ]


def test_what_is_no_cache_is_said_in_a_line(tmp_path, capsys):
    assert main(["doctor", "--cache", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("no prepared cache at")
    (tmp_path / "cache.json").write_text("[]")
    assert main(["doctor", "--cache", str(tmp_path)]) == 1
    assert "does not read" in capsys.readouterr().err


def test_a_cache_of_another_version_is_no_cache_to_train_on(folder, capsys):
    header = json.loads((folder / "cache.json").read_text())
    (folder / "cache.json").write_text(json.dumps(header | {"prepare_sha": "other"}))
    assert main(["doctor", "--cache", str(folder)]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["faults"] == []
    assert "prepared by another version of this program" in captured.err
