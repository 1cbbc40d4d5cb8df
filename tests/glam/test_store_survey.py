"""What a store holds in numbers: counts, axes, and the rows that are unlike all others."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from glam.store import sample as sampled
from glam.store.read import read_rows, vectors
from glam.store.schema import StoreError
from glam.store.survey import MOST_Z, NEIGHBOURS, robust_z, survey
from tests.samples.stores import clustered, write_store, write_vectors

ROWS, DIM, STRANGE = 300, 6, (40, 41)
"""The strange rows are two images of one patient, alike."""


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


def test_a_robust_z_is_that_of_a_normal_distribution_and_outliers_do_not_move_it():
    values = np.random.default_rng(0).normal(3, 0.5, 20_000)
    z = robust_z(np.append(values, [1e6] * 100))
    np.testing.assert_allclose(z[:20_000], (values - 3) / 0.5, atol=0.15)
    assert robust_z(np.array([1.0, 1, 1, 1, 2]))[-1] > 1
    assert robust_z(np.array([1.0, 1, np.nan])).tolist() == [0, 0, 0]
    assert robust_z(np.array([np.nan])).tolist() == [0]
