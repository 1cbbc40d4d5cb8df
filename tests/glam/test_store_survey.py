"""What a store holds in numbers: counts, axes, and the rows that are unlike all others."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from glam.store import sample as sampled
from glam.store.opening import open_vectors
from glam.store.read import footer, read_rows, read_table, vectors
from glam.store.schema import StoreError
from glam.store.survey import MOST_Z, NEIGHBOURS, robust_z, survey
from glam.store.write import write_table
from tests.samples.stores import DIM as DIM_OF_EXAMS
from tests.samples.stores import RECORD, clustered, write_store, write_vectors

ROWS, DIM, STRANGE = 300, 6, (40, 41)
"""The strange rows are two images of one patient, alike."""
EXAMS = ["e0", "e1", "e2", "e3"]
"""Two shards of two breasts."""


def matrix() -> np.ndarray:
    rows = clustered(ROWS, DIM, clusters=2, noise=0.2)
    strange = -rows.mean(axis=0)
    rows[list(STRANGE)] = strange / np.linalg.norm(strange)
    return rows


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("survey") / "store"
    write_vectors(folder, matrix(), shard_size=64)
    return folder


def naive_distances(store: Path, references: np.ndarray) -> np.ndarray:
    table = read_rows(store, ["patient_id", "embedding"])
    rows, patients = vectors(table), np.array(table.column("patient_id").to_pylist())
    distances = []
    for row, patient in zip(rows, patients, strict=True):
        others = rows[references][patients[references] != patient]
        distances.append(np.mean(sorted(1 - others @ row)[:NEIGHBOURS]))
    return np.array(distances)


def test_rows_unlike_all_others_are_found_although_their_patient_has_two(store: Path):
    found = survey(store)
    distances = naive_distances(store, np.arange(ROWS))
    z = robust_z(distances)
    assert {row.cells["image_id"] for row in found.odd[:2]} == {f"i{place:08d}" for place in STRANGE}
    assert found.num_odd == np.count_nonzero(z > MOST_Z)
    assert [row.z for row in found.odd] == pytest.approx(sorted(z[z > MOST_Z], reverse=True), abs=0.02)
    assert found.median == pytest.approx(np.median(distances), abs=1e-6)
    assert found.odd[0].cells["patient_id"] == "p00000020"
    assert len(found.picture.odd_points) == len(found.odd)
    assert survey(store, most_odd=1).num_odd == found.num_odd


def test_a_large_store_is_held_against_a_sample(store: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sampled, "SAMPLE", 50)
    monkeypatch.setattr(sampled, "BLOCK", 7)
    found, again = survey(store), survey(store)
    assert len(found.picture.points) == 50
    np.testing.assert_array_equal(found.picture.points, again.picture.points)
    assert {row.cells["image_id"] for row in found.odd[:2]} == {f"i{place:08d}" for place in STRANGE}
    assert sum(found.counts["density"].values()) == ROWS
    assert {column.shape for column in found.picture.groups.values()} == {(50,)}


def test_rows_are_counted_by_class_kind_code_and_label(store: Path):
    labels = pa.array(["A", "B", ""] * (ROWS // 3))
    found = survey(store, {"manufacturer": labels})
    table = read_rows(store, ["density_a", "density_b", "density_c", "density_d"])
    shares = np.stack([column.to_numpy() for column in table.columns], axis=1)
    expected = np.bincount(shares.argmax(axis=1), minlength=4)
    assert found.counts["density"] == dict(zip("abcd", expected.tolist(), strict=True))
    assert found.counts["manufacturer"] == {"A": 100, "B": 100, "not known": 100}
    assert found.counts["image_type"] == {"2D": 150, "synthetic": 150}
    assert (found.rows, found.patients, found.calibrated) == (ROWS, ROWS // 2, 0)
    assert found.picture.groups["manufacturer"][:3].tolist() == ["A", "B", "not known"]


def test_the_axes_are_those_of_most_variance(store: Path):
    found = survey(store).picture
    centred = matrix() - matrix().mean(axis=0)
    variances = np.linalg.eigvalsh(centred.T @ centred)[::-1]
    np.testing.assert_allclose((found.points**2).sum(axis=0), variances[:2], rtol=1e-4)
    np.testing.assert_allclose(found.shares, variances[:2] / variances.sum(), rtol=1e-4)


def test_missing_views_and_codes_of_breasts_are_counted(tmp_path: Path):
    write_store(tmp_path / "store", ["e0", "e1", "e2"], bad=["e1"])
    found = survey(tmp_path / "store")
    assert found.counts["codes"] == {"no_spacing": 2}
    assert found.counts["birads"] == {"1": 2}
    assert found.rows == 2


@pytest.mark.parametrize("exams", [["e0"], ["e0", "e1"]])
def test_a_store_of_one_or_two_rows_has_no_odd_one(tmp_path: Path, exams: list[str]):
    write_store(tmp_path / "store", exams)
    found = survey(tmp_path / "store")
    assert found.odd == []
    assert (found.median is None) == (len(exams) == 1)
    assert np.isfinite(found.picture.points).all()


def test_a_store_without_rows_is_refused(tmp_path: Path):
    write_store(tmp_path / "store", ["e0"], bad=["e0"])
    with pytest.raises(StoreError, match="no rows yet"):
        survey(tmp_path / "store")


def other_run(store: Path) -> bytes:
    other = replace(RECORD, config=replace(RECORD.config, bundle="c" * 64))
    write_store(store.parent / "other", EXAMS, record=other)
    return (store.parent / "other" / "part-000001.parquet").read_bytes()


def first_part(store: Path) -> bytes:
    return (store / "part-000000.parquet").read_bytes()


def with_footer(**changed: object) -> Callable[[Path], bytes]:
    def change(store: Path) -> bytes:
        path = store / "part-000001.parquet"
        write_table(path, read_table(path), footer(path) | changed)
        return path.read_bytes()

    return change


def without_direction(store: Path) -> bytes:
    path = store / "part-000001.parquet"
    table = read_table(path)
    kind = table.schema.field("embedding")
    numbers = pa.array(np.full(table.num_rows * DIM_OF_EXAMS, np.nan, np.float32))
    place = table.schema.get_field_index("embedding")
    changed = table.set_column(place, kind, pa.FixedSizeListArray.from_arrays(numbers, type=kind.type))
    write_table(path, changed, footer(path))
    return path.read_bytes()


@pytest.mark.parametrize("opened", [survey, open_vectors])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (other_run, "is of another run"),
        (first_part, "is another part under this name"),
        (with_footer(shard="1"), "is another part under this name"),
        (with_footer(shard=None), "is another part under this name"),
        (with_footer(rows=10**15), "has 2 rows, and its footer says 1000000000000000"),
        (with_footer(rows="2"), "has 2 rows, and its footer says 2"),
        (with_footer(rows=None), "has 2 rows, and its footer says None"),
        (without_direction, "not of length 1"),
    ],
)
def test_a_part_that_its_run_did_not_write_is_neither_counted_nor_searched(
    tmp_path: Path, opened: Callable[[Path], object], content: Callable[[Path], bytes], said: str
):
    write_store(tmp_path / "store", EXAMS)
    path = tmp_path / "store" / "part-000001.parquet"
    path.write_bytes(content(tmp_path / "store"))
    with pytest.raises(StoreError, match=f"part-000001.parquet .*{said}") as caught:
        opened(tmp_path / "store")
    assert caught.value.code == "store_damaged"


def test_a_robust_z_is_that_of_a_normal_distribution_and_outliers_do_not_move_it():
    values = np.random.default_rng(0).normal(3, 0.5, 20_000)
    z = robust_z(np.append(values, [1e6] * 100))
    np.testing.assert_allclose(z[:20_000], (values - 3) / 0.5, atol=0.15)
    assert robust_z(np.array([1.0, 1, 1, 1, 2]))[-1] > 1
    assert robust_z(np.array([1.0, 1, np.nan])).tolist() == [0, 0, 0]
    assert robust_z(np.array([np.nan])).tolist() == [0]
