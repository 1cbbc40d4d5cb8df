"""The store of a cohort: what is written is read, shards are whole or absent, and `verify` sees what is wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from glam.store import write
from glam.store.planned import read_plan, shard_marks, shard_spans
from glam.store.read import content_sha256, footer, is_done, read_errors, read_rows, vectors
from glam.store.run_key import check_same_run, read_run
from glam.store.schema import KEYS, Row, StoreError, part_schema, part_table
from glam.store.verify import verify_store
from glam.store.write import locked, write_json, write_shard
from tests.samples.stores import DIM, RECORD, contents, plan_of, problem_of, row_of, with_config, write_store

EXAMS = ["e1", "e2", "e3", "e4", "e5"]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    write_store(tmp_path / "store", EXAMS, bad=["e2"])
    return tmp_path / "store"


def rewritten(path: Path, table: pa.Table, **changed: object) -> None:
    """Put another table, or another footer, in the place of a part."""
    write.write_table(path, table, footer(path) | changed)


def test_pandas_reads_a_store_with_one_line(store: Path):
    parts = pd.read_parquet(sorted(store.glob("part-*.parquet")))
    assert parts["exam_id"].tolist() == ["e1", "e3", "e4", "e5"]
    assert np.stack(parts["embedding"]).shape == (4, DIM)
    assert parts["birads_1"].tolist() == [0.75] * 4
    assert parts["codes"].map(list).tolist() == [["no_spacing"]] * 4


def test_polars_reads_a_store_with_one_line(store: Path):
    parts = pl.read_parquet(store / "part-*.parquet")
    assert parts["exam_id"].to_list() == ["e1", "e3", "e4", "e5"]
    assert parts.schema["embedding"] == pl.Array(pl.Float32, DIM)
    np.testing.assert_array_equal(parts["embedding"].to_numpy(), vectors(read_rows(store)))
    assert parts["left_out"].to_list() == [[]] * 4
    assert parts["codes"].to_list() == [["no_spacing"]] * 4
    assert parts.null_count().sum_horizontal().item() == 0


def test_duckdb_reads_a_store_with_one_line_and_ranks_its_rows(store: Path):
    parts = duckdb.sql(f"select * from '{store}/part-*.parquet' order by exam_id").fetchall()
    assert [row[:3] for row in parts] == [(exam, "L", f"p-{exam}") for exam in ("e1", "e3", "e4", "e5")]
    likeness = vectors(read_rows(store)).astype(float) @ vectors(read_rows(store))[2]
    ranked = duckdb.execute(
        f"""
        with parts as (select exam_id, embedding::float[{DIM}] as v from '{store}/part-*.parquet')
        select a.exam_id, array_inner_product(a.v, b.v) as likeness
        from parts a, parts b where b.exam_id = 'e4' order by likeness desc
        """
    ).fetchall()
    assert [exam for exam, _ in ranked] == [("e1", "e3", "e4", "e5")[place] for place in np.argsort(-likeness)]
    np.testing.assert_allclose([value for _, value in ranked], np.sort(likeness)[::-1], atol=1e-6)


def test_every_reader_takes_half_precision_and_a_shard_without_rows(tmp_path: Path):
    write_store(tmp_path / "s", ["e1", "e2", "e3"], bad=["e3"], record=with_config(dtype="float16"))
    expected = vectors(read_rows(tmp_path / "s")).astype(np.float32)
    of_pandas = pd.read_parquet(sorted((tmp_path / "s").glob("part-*.parquet")))["embedding"]
    of_polars = pl.read_parquet(tmp_path / "s" / "part-*.parquet")["embedding"].to_list()
    of_duckdb = duckdb.sql(f"select embedding from '{tmp_path}/s/part-*.parquet'").fetchall()
    for rows in (of_pandas, of_polars, [row for (row,) in of_duckdb]):
        np.testing.assert_array_equal(np.array([list(row) for row in rows], np.float32), expected)


def test_rows_come_back_as_they_were_put_in(store: Path):
    rows = read_rows(store)
    expected = np.stack([row_of(exam).embedding for exam in ("e1", "e3", "e4", "e5")]).astype(np.float32)
    np.testing.assert_array_equal(vectors(rows), expected)
    assert rows.column("images").to_pylist()[0] == ["e1-CC", "e1-MLO"]
    errors = read_errors(store)
    assert errors is not None
    assert errors.column("image_id").to_pylist() == ["e2-CC", "e2-MLO"]


def test_half_precision_is_kept_as_such(tmp_path: Path):
    write_store(tmp_path / "s", ["e1"], record=with_config(dtype="float16"))
    assert vectors(read_rows(tmp_path / "s")).dtype == np.float16
    assert verify_store(tmp_path / "s").problems == ()


@pytest.mark.parametrize("level", list(KEYS))
def test_no_column_of_a_part_may_be_null(level):
    schema = part_schema(level, dim=DIM, dtype="float32", probabilities=["birads_0"])
    assert [field.name for field in schema if field.nullable] == []
    assert schema.names[: len(KEYS[level])] == list(KEYS[level])


def test_a_part_without_rows_has_all_columns():
    schema = part_schema("exam", dim=DIM, dtype="float32", probabilities=["birads_0"])
    assert part_table([], schema, "exam").num_rows == 0


def test_the_key_of_an_image_has_three_parts():
    schema = part_schema("image", dim=DIM, dtype="float32", probabilities=[])
    row = row_of("e1")
    image = Row(**{**vars(row), "key": ("e1", "L", "i1"), "probabilities": {}})
    table = part_table([image], schema, "image")
    assert [table.column(name)[0].as_py() for name in KEYS["image"]] == ["e1", "L", "i1"]


def test_every_file_carries_the_notice_and_the_run(store: Path):
    for path in store.glob("part-*.parquet"):
        assert footer(path)["notice"] == "research use only, not for diagnosis"
        assert footer(path)["run_key"] == RECORD.config.key
    assert read_run(store) == RECORD


def test_the_run_key_changes_with_whatever_decides_the_content():
    changed = {"bundle": "c", "variant": "int8", "prepare_sha": "q", "level": "exam", "dtype": "float16"}
    changed |= {"aggregation": "embeddings", "group_size": 4, "provider": "CUDAExecutionProvider"}
    keys = {with_config(**{name: value}).config.key for name, value in changed.items()}
    assert len(keys | {RECORD.config.key}) == len(changed) + 1


def test_another_run_is_refused_and_told_apart(store: Path):
    with pytest.raises(StoreError, match="variant is portable there and int8 here") as caught:
        check_same_run(store, read_run(store).config, with_config(variant="int8").config)
    assert caught.value.code == "other_run"


def test_a_store_of_a_newer_format_is_refused(store: Path):
    content = json.loads((store / "run.json").read_text())
    write_json(store / "run.json", content | {"format": 99})
    with pytest.raises(StoreError, match="format 99") as caught:
        read_run(store)
    assert caught.value.code == "store_format"


@pytest.mark.parametrize("change", [{"run_key": "0"}, {"dim": None, "more": 1}, {"config": {}}])
def test_a_run_file_that_was_changed_is_refused(store: Path, change: dict):
    content = json.loads((store / "run.json").read_text())
    write_json(store / "run.json", content | change)
    with pytest.raises(StoreError) as caught:
        read_run(store)
    assert caught.value.code == "store_damaged"


def test_a_folder_without_a_store_says_how_to_make_one(tmp_path: Path):
    with pytest.raises(StoreError, match="glam-embed run"):
        read_run(tmp_path)


def test_a_shard_is_done_when_its_part_opens_and_is_of_this_run_and_these_items(store: Path):
    marks = shard_marks(plan_of(EXAMS), RECORD.config.key)
    assert [is_done(store, mark) for mark in marks] == [True] * 3
    (store / "part-000001.parquet").unlink()
    (store / "part-000002.parquet").write_bytes(b"PAR1 cut short")
    assert [is_done(store, mark) for mark in marks] == [True, False, False]
    with pytest.raises(StoreError, match="another run"):
        is_done(store, marks[0]._replace(run_key="other"))
    with pytest.raises(StoreError, match="other items"):
        is_done(store, marks[0]._replace(items_sha256="other"))


def test_the_plan_comes_back_and_tells_the_shards(store: Path):
    plan = read_plan(store)
    assert plan is not None
    assert plan.to_pylist() == plan_of(EXAMS).to_pylist()
    assert shard_spans(plan) == [(0, 4), (4, 8), (8, 10)]


def test_the_hash_of_a_shards_items_hangs_on_every_cell_that_decides_how_they_are_read():
    plan = plan_of(["e1"])
    (mark,) = shard_marks(plan, "run")
    for name, value in {"path": "other.dcm", "view": "MLO", "laterality": "R", "image_type": "synthetic"}.items():
        cells = [value, *plan.column(name).to_pylist()[1:]]
        place = plan.schema.get_field_index(name)
        (other,) = shard_marks(plan.set_column(place, plan.schema.field(name), [cells]), "run")
        assert other.items_sha256 != mark.items_sha256, name


def test_the_hash_of_the_content_does_not_hang_on_the_shards(tmp_path: Path):
    write_store(tmp_path / "one", EXAMS)
    write_store(tmp_path / "other", EXAMS[::-1])
    assert content_sha256(tmp_path / "one", "breast") == content_sha256(tmp_path / "other", "breast")
    assert contents(tmp_path / "one") == contents(tmp_path / "other")
    write_store(tmp_path / "less", EXAMS[1:])
    assert content_sha256(tmp_path / "less", "breast") != content_sha256(tmp_path / "one", "breast")


def test_a_second_writer_is_refused_and_the_lock_ends_with_its_process(tmp_path: Path):
    code = "import sys, pathlib, time\nfrom glam.store.write import locked\n"
    code += "with locked(pathlib.Path(sys.argv[1])):\n  print('held', flush=True)\n  time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match="another run writes") as caught, locked(tmp_path):
            pass
        assert caught.value.code == "store_in_use"
        holder.kill()
    with locked(tmp_path):
        pass


def test_temporary_files_of_dead_writers_are_swept(tmp_path: Path):
    for name in ("part-000000.parquet", "errors-123456.parquet", "run.json", "_SUCCESS", ".salt", "manifest.parquet"):
        (tmp_path / f".{name}.123.part").write_bytes(b"half")
    with locked(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_folder_of_other_things_is_no_place_for_a_store(tmp_path: Path):
    mine = tmp_path / ".thesis.docx.part"
    mine.write_text("a download that goes on")
    with pytest.raises(StoreError, match="other files in it") as caught, locked(tmp_path):
        pass
    assert caught.value.code == "not_a_store"
    assert mine.exists()


def test_a_shard_that_cannot_be_written_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (mark,) = shard_marks(plan_of(["e1"]), RECORD.config.key)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        write_shard(tmp_path, RECORD, mark, [row_of("e1")], [])
    assert list(tmp_path.iterdir()) == []


def test_errors_of_an_attempt_that_was_stopped_do_not_outlive_it(tmp_path: Path):
    (mark,) = shard_marks(plan_of(["e1"]), RECORD.config.key)
    write_shard(tmp_path, RECORD, mark, [], [problem_of("e1", "CC")])
    (tmp_path / "part-000000.parquet").unlink()
    assert read_errors(tmp_path) is None
    write_shard(tmp_path, RECORD, mark, [row_of("e1")], [])
    assert not list(tmp_path.glob("errors-*"))


def test_a_sound_store_has_no_problems(store: Path):
    write_json(store / "_SUCCESS", {"rows": 4, "content_sha256": content_sha256(store, "breast")})
    assert verify_store(store) == ((), 3, 3, 4)


def test_verify_sees_a_flipped_byte_in_a_column_that_no_hash_covers(store: Path):
    path = store / "part-000000.parquet"
    content = bytearray(path.read_bytes())
    place = content.index(np.float32(0.75).tobytes())
    content[place] ^= 1
    path.write_bytes(content)
    (problem,) = verify_store(store).problems
    assert "does not read" in problem


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"shard": 7}, "its footer says shard 7"),
        ({"rows": 9}, "its footer says rows 9"),
        ({"run_key": "x"}, "its footer says run_key x"),
        ({"items_sha256": "x"}, "its footer says items_sha256 x"),
    ],
)
def test_verify_sees_a_wrong_footer(store: Path, change: dict, problem: str):
    path = store / "part-000001.parquet"
    rewritten(path, pq.read_table(path), **change)
    assert problem in verify_store(store).problems[0]


def test_verify_sees_lost_doubled_and_strange_rows(store: Path):
    path = store / "part-000001.parquet"
    part = pq.read_table(path)
    rewritten(path, part.slice(0, 1), rows=1)
    assert "2 of its images are neither used" in verify_store(store).problems[0]
    rewritten(path, pa.concat_tables([part, part.slice(0, 1)]), rows=3)
    assert "2 of its images are accounted for twice" in verify_store(store).problems[0]
    assert "the key e3, L is there 2 times" in verify_store(store).problems[1]
    (store / "part-000009.parquet").write_bytes(path.read_bytes())
    assert "part-000009.parquet: no shard of the plan" in verify_store(store).problems


def test_verify_sees_vectors_that_are_not_of_length_one(store: Path):
    path = store / "part-000001.parquet"
    part = pq.read_table(path)
    halves = pa.FixedSizeListArray.from_arrays(
        pa.array(vectors(part).ravel() / 2), type=part.schema.field("embedding").type
    )
    place = part.schema.get_field_index("embedding")
    rewritten(path, part.set_column(place, part.schema.field(place), halves))
    assert "2 embeddings do not have length 1" in verify_store(store).problems[0]


def test_verify_sees_content_that_is_not_what_success_says(store: Path):
    write_json(store / "_SUCCESS", {"rows": 4, "content_sha256": "0"})
    assert "do not have its hash" in verify_store(store).problems[0]
    (store / "part-000002.parquet").unlink()
    assert "shards are missing" in verify_store(store).problems[0]
