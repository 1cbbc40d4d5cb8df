"""The rows of a store that are most like a vector: the right ones, in order, and none of whoever is left out."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from glam.store.amend import amend_shard
from glam.store.opening import open_vectors
from glam.store.planned import read_plan, shard_marks
from glam.store.pseudonyms import patient_name
from glam.store.read import footer, read_table
from glam.store.schema import MANIFEST_FILE, RUN_FILE, SALT_FILE, DType, StoreError, part_name
from glam.store.search import AT_ONCE, BLOCKS, Hit, StoreVectors, _largest
from glam.store.survey import survey
from glam.store.write import write_table
from tests.samples.stores import DIM, RECORD, clustered, plan_of, row_of, with_config, write_store, write_vectors

EXAMS = [f"e{number:02d}" for number in range(9)]


@pytest.fixture
def store(tmp_path: Path) -> StoreVectors:
    write_store(tmp_path / "store", EXAMS, bad=["e04"])
    return open_vectors(tmp_path / "store")


def asked() -> np.ndarray:
    return np.random.default_rng(7).normal(size=DIM)


def expected(vector: np.ndarray) -> list[str]:
    """Exams from the one most like a vector to the least, by float64."""
    cosines = {exam: float(row_of(exam).embedding @ vector) for exam in EXAMS if exam != "e04"}
    return sorted(cosines, key=lambda exam: -cosines[exam])


def exams_of(store: StoreVectors, rows: list[int]) -> list[str]:
    return [store.names.column("exam_id")[row].as_py() for row in rows]


@pytest.mark.parametrize("count", [1, 3, 8, 100])
def test_the_most_alike_come_first_whatever_the_vectors_length(store: StoreVectors, count: int):
    hits = store.nearest(1e-3 * asked(), count)
    assert exams_of(store, [hit.row for hit in hits]) == expected(asked())[:count]
    unit = asked() / np.linalg.norm(asked())
    for hit in hits:
        exam = exams_of(store, [hit.row])[0]
        assert hit.likeness == pytest.approx(float(row_of(exam).embedding @ unit), abs=1e-6)


def test_rows_of_patients_who_are_left_out_are_no_answer(store: StoreVectors):
    best, second, *_ = expected(asked())
    hits = store.nearest(asked(), 2, without_patients={f"p-{best}", "of nobody"})
    assert exams_of(store, [hit.row for hit in hits])[0] == second
    assert store.nearest(asked(), 3, without_patients={f"p-{exam}" for exam in EXAMS}) == []


def test_of_rows_alike_the_first_ones_are_taken(store: StoreVectors):
    same = replace(store, matrix=np.tile(np.float32([1, 0, 0, 0]), (len(store), 1)))
    assert [hit.row for hit in same.nearest(np.eye(DIM)[0], 3)] == [0, 1, 2]


def test_several_vectors_have_each_the_answer_that_it_has_alone(store: StoreVectors):
    asked_for = np.random.default_rng(8).normal(size=(2 * AT_ONCE + 1, DIM))
    without = {"p-e02", "p-e07"}
    together = store.nearest_each(list(asked_for), 3, without_patients=without)
    for vector, hits in zip(asked_for, together, strict=True):
        alone = store.nearest(vector, 3, without_patients=without)
        assert [hit.row for hit in hits] == [hit.row for hit in alone]
        np.testing.assert_allclose([hit.likeness for hit in hits], [hit.likeness for hit in alone], atol=1e-6)


@pytest.mark.parametrize("count", [1, 7, BLOCKS - 1, BLOCKS, 4000])
@pytest.mark.parametrize("rows", [BLOCKS + 1, 3 * BLOCKS - 1, 12_345])
def test_the_largest_of_many_scores_are_those_of_a_sort(rows: int, count: int):
    rng = np.random.default_rng(rows)
    scores = np.float32(rng.integers(50, size=rows))  # many are equal
    scores[rng.integers(rows, size=rows // 2)] = -np.inf
    order = np.argsort(-scores, kind="stable")
    assert _largest(scores, count).tolist() == order[np.isfinite(scores[order])][:count].tolist()


@pytest.mark.parametrize("vector", [np.zeros(DIM), np.full(DIM, np.nan), np.full(DIM, np.inf), np.ones(DIM + 1)])
def test_a_vector_without_a_direction_is_refused(store: StoreVectors, vector: np.ndarray):
    with pytest.raises(ValueError, match="4 finite numbers"):
        store.nearest(vector, 1)


def test_a_hit_is_told_with_its_key_its_numbers_and_where_its_images_are(store: StoreVectors, tmp_path: Path):
    (hit,) = store.nearest(row_of("e05").embedding, 1)
    (told,) = store.described([hit])
    assert told == {
        "exam_id": "e05",
        "laterality": "L",
        "patient_id": "p-e05",
        "likeness": 1.0,
        "birads": {"0": 0.25, "1": 0.75},
        "density": {"a": 0.5, "b": 0.5},
        "codes": ["no_spacing"],
        "images": ["e05-CC", "e05-MLO"],
    }
    assert store.paths(["e05-MLO", "nothing"]) == {"e05-MLO": str(tmp_path / "e05" / "MLO.dcm")}


def test_where_images_are_is_told_without_reading_the_rest_of_the_plan(store: StoreVectors, tmp_path: Path):
    """Two columns of a million images are a fraction of their plan."""
    plan = store.store / MANIFEST_FILE
    content = bytearray(plan.read_bytes())
    content[content.index(b"p-e05")] ^= 1  # of a column that is not needed
    plan.write_bytes(content)
    with pytest.raises(StoreError, match="does not read"):
        read_plan(store.store)
    assert store.paths(["e05-MLO"]) == {"e05-MLO": str(tmp_path / "e05" / "MLO.dcm")}
    assert survey(store.store).rows == len(store)


def test_hits_are_told_in_their_order_however_they_lie_in_parts_and_each_part_is_read_once(
    store: StoreVectors, monkeypatch: pytest.MonkeyPatch
):
    paths: list[Path] = []

    def counted(path: Path, columns: list[str]) -> pa.Table:
        paths.append(path)
        return read_table(path, columns)

    monkeypatch.setattr("glam.store.search.read_table", counted)
    rows = [7, 0, 3, 0, 6, 1]
    told = store.described([Hit(row, row / 10) for row in rows])
    assert [entry["exam_id"] for entry in told] == exams_of(store, rows)
    assert [entry["likeness"] for entry in told] == [0.7, 0.0, 0.3, 0.0, 0.6, 0.1]
    assert len(paths) == len(set(paths)) < len(set(rows))
    assert store.described([]) == []


def rewrite(part: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Put another table in place of a part's, and keep its footer."""
    table = pq.read_table(part)
    pq.write_table(change(table).replace_schema_metadata(table.schema.metadata), part, write_page_checksum=True)


def with_numbers(value: float) -> Callable[[pa.Table], pa.Table]:
    """Let the first vector of a table be that number over and over."""

    def change(table: pa.Table) -> pa.Table:
        place, kind = table.schema.get_field_index("embedding"), table.schema.field("embedding")
        numbers = np.array(table.column("embedding").combine_chunks().flatten())
        numbers[:DIM] = value
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(numbers, kind.type.value_type), type=kind.type)
        return table.set_column(place, kind, vectors)

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (with_numbers(np.nan), "not of length 1"),
        (with_numbers(np.inf), "not of length 1"),
        (with_numbers(1e30), "not of length 1"),
        (with_numbers(0), "not of length 1"),
        (with_numbers(2), "not of length 1"),
        (lambda table: table.slice(1), "has 1 rows, and its footer says 2"),
        (lambda table: table.drop_columns(["patient_id"]), "other columns"),
        (lambda table: table.drop_columns(["density_a"]), "other columns"),
    ],
)
def test_a_part_that_its_run_did_not_write_is_refused_by_name(
    store: StoreVectors, change: Callable[[pa.Table], pa.Table], said: str
):
    rewrite(store.parts[1], change)
    with pytest.raises(StoreError, match=f"part-000001.parquet .*{said}") as error:
        open_vectors(store.store)
    assert error.value.code == "store_damaged"


def test_parts_of_another_run_or_under_another_name_are_refused(store: StoreVectors, tmp_path: Path):
    write_store(tmp_path / "half", EXAMS, record=with_config(dtype="float16"))
    for other, said in ((tmp_path / "half" / store.parts[1].name, "of another run"), (store.parts[0], "another part")):
        store.parts[1].write_bytes(other.read_bytes())
        with pytest.raises(StoreError, match=f"part-000001.parquet is {said}"):
            open_vectors(store.store)


@pytest.mark.parametrize("dim", ["0", '"4"', "4.0", "true", "1000000000000"])
def test_a_run_whose_vectors_have_no_usable_length_is_refused(store: StoreVectors, dim: str):
    run = store.store / RUN_FILE
    run.write_text(run.read_text().replace(f'"dim": {DIM}', f'"dim": {dim}'))
    with pytest.raises(StoreError, match="not a whole number from 1 to"):
        open_vectors(store.store)


def test_what_is_told_of_a_row_is_that_of_the_same_row(store: StoreVectors):
    hits = [Hit(row, 0.5) for row in range(len(store))]
    content = store.parts[0].read_bytes()
    store.parts[0].write_bytes(store.parts[1].read_bytes())
    with pytest.raises(StoreError, match="other rows than when it was opened") as error:
        store.described(hits)
    assert error.value.code == "store_changed"
    rewrite(store.parts[1], lambda table: table.slice(0, 1))
    store.parts[0].write_bytes(content)
    with pytest.raises(StoreError, match="other rows"):
        store.described(hits)
    store.parts[0].write_bytes(content[:100])
    with pytest.raises(StoreError, match="does not read as a file of a store"):
        store.described(hits)
    store.parts[0].unlink()
    with pytest.raises(StoreError, match="does not read as a file of a store"):
        store.described(hits)


def test_a_row_that_a_later_run_replaced_is_not_told_with_the_likeness_of_the_earlier_one(store: StoreVectors):
    """As a second try at a PACS puts a row that has both views in place of one that had one."""
    (hit,) = store.nearest(row_of("e00").embedding, 1)
    (before,) = store.described([hit])
    mark = shard_marks(plan_of(EXAMS), RECORD.config.key)[0]
    replaced = replace(row_of("e00"), embedding=row_of("other").embedding, codes=["mended"])
    amend_shard(store.store, RECORD, mark, [("e00", "L")], [replaced], [])
    with pytest.raises(StoreError, match=r"start it again") as error:
        store.described([hit])
    assert error.value.code == "store_changed"
    (row_beside,) = store.nearest(row_of("e01").embedding, 1)
    assert store.described([row_beside])[0]["exam_id"] == "e01"
    opened_again = open_vectors(store.store)
    (after,) = opened_again.described(opened_again.nearest(row_of("other").embedding, 1))
    assert (before["codes"], after["exam_id"], after["codes"]) == (["no_spacing"], "e00", ["mended"])


def test_a_store_that_grew_is_told_of_as_it_was_until_it_is_opened_again(store: StoreVectors):
    before = store.described(store.nearest(asked(), 100))
    write_store(store.store, [*EXAMS, "f1", "f2"], bad=["e04"])
    assert store.described(store.nearest(asked(), 100)) == before
    assert len(open_vectors(store.store)) == len(store) + 2


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_vectors_on_the_disk_are_those_in_memory_whatever_their_kind(tmp_path: Path, dtype: DType):
    write_store(tmp_path / "store", EXAMS, record=with_config(dtype=dtype))
    vectors = open_vectors(tmp_path / "store")
    assert len(vectors.described(vectors.nearest(asked(), 100))) == len(EXAMS)


def test_a_row_that_is_an_image_is_told_with_its_view_and_another_without(store: StoreVectors, tmp_path: Path):
    assert "view" not in store.described([Hit(0, 0.5)])[0]
    images = tmp_path / "images"
    write_vectors(images, clustered(6, DIM), shard_size=2)
    plan = read_plan(images)
    assert plan is not None
    plan = plan.set_column(plan.column_names.index("view"), "view", pa.array(["CC", "MLO", "MLO", "CC", "CC", "MLO"]))
    write_table(images / MANIFEST_FILE, plan.take([5, 3, 1, 0, 2]), footer(images / MANIFEST_FILE))
    (images / part_name(0)).rename(images / "elsewhere")  # rows begin with the third image
    hits = [Hit(row, 0.5) for row in (3, 0, 1, 2)]
    assert [row["view"] for row in open_vectors(images).described(hits)] == ["MLO", "MLO", "CC", None]


def test_a_row_is_found_by_its_key(store: StoreVectors):
    assert exams_of(store, [store.row_of(("e07", "L"))]) == ["e07"]
    with pytest.raises(StoreError, match="a row is exam_id/laterality") as error:
        store.row_of(("e07", "R"))
    assert error.value.code == "no_row"


def test_patients_are_known_by_their_names_and_by_what_a_folder_made_of_them(store: StoreVectors):
    assert store.patients_named(["p-e01", "nobody", ""]) == {"p-e01"}
    (store.store / SALT_FILE).write_bytes(b"salt")
    store = open_vectors(store.store)
    assert store.patients_named(["DOE"]) == frozenset()
    (store.store / SALT_FILE).unlink()  # read once: whoever is left out stays so
    names = pa.array([patient_name(b"salt", "DOE"), *store.names.column("patient_id").to_pylist()[1:]])
    names = names.dictionary_encode()
    place = store.names.schema.get_field_index("patient_id")
    hashed = replace(store, names=store.names.set_column(place, "patient_id", names))
    assert hashed.patients_named(["DOE"]) == {patient_name(b"salt", "DOE")}


def test_another_bundle_than_that_of_the_store_is_refused(store: StoreVectors):
    store.check_made_by(RECORD.config.bundle, joint_dim=DIM)
    with pytest.raises(StoreError, match="was made by tiny 1, bundle bbbbbbbbbbbb"):
        store.check_made_by("c" * 64, joint_dim=DIM)
    with pytest.raises(StoreError, match="has vectors of 4 numbers, and its bundle of 8"):
        store.check_made_by(RECORD.config.bundle, joint_dim=8)


def test_numbers_of_16_bits_are_compared_as_32(tmp_path: Path):
    write_store(tmp_path / "half", EXAMS, record=with_config(dtype="float16"))
    half = open_vectors(tmp_path / "half")
    assert half.matrix.dtype == np.float32
    hits = half.nearest(asked(), 3)
    assert (
        exams_of(half, [hit.row for hit in hits])
        == sorted(EXAMS, key=lambda exam: -float(row_of(exam).embedding @ asked()))[:3]
    )


def test_a_store_without_rows_answers_nothing(tmp_path: Path):
    write_store(tmp_path / "empty", ["e00"], bad=["e00"], record=RECORD)
    with pytest.raises(StoreError, match="no rows yet") as error:
        open_vectors(tmp_path / "empty")
    assert error.value.code == "store_empty"
