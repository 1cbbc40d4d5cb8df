"""What becomes of the images of an item: each is used, left out, or told as a problem with its stage."""

from pathlib import Path

import numpy as np
import pytest

from glam.config import FrameConfig
from glam_serve.cohort.items import ImageRow, Item, PreparedItem, read_item
from tests.samples.mammograms import SECRET, file_of

CONFIG = FrameConfig(size=28)


@pytest.fixture
def read(tmp_path: Path):
    """Read an item whose images are given as (side, view, header)."""

    def call(*images: tuple[str, str, dict]) -> PreparedItem:
        rows = []
        for number, (side, view, header) in enumerate(images):
            path, image_type = tmp_path / f"{number}.dcm", header.pop("image_type", "")
            path.write_bytes(file_of(**{"ImageLaterality": side, "ViewPosition": view, **header}))
            rows.append(ImageRow(f"i{number}", str(path), side, view, None, image_type))
        return read_item(Item(("e",), "p", tuple(rows)), CONFIG)

    return call


def fates(prepared: PreparedItem) -> dict[str, str]:
    used = {image: f"{side}_{view}" for (side, view), image in prepared.used.items()}
    problems = {problem.image_id: f"{problem.stage}: {problem.code}" for problem in prepared.problems}
    return used | dict(prepared.left_out) | problems


def test_the_images_of_an_exam_are_used_by_side_and_view(read):
    prepared = read(("L", "CC", {}), ("R", "MLO", {}), ("L", "MLO", {}))
    assert fates(prepared) == {"i0": "L_CC", "i1": "R_MLO", "i2": "L_MLO"}
    assert prepared.exam is not None
    assert prepared.exam.missing == ("R_CC",)


def test_of_two_images_of_a_view_one_is_left_out(read):
    assert fates(read(("L", "CC", {}), ("L", "CC", {"PartialView": "YES"}))) == {"i0": "L_CC", "i1": "same_view_twice"}


def test_more_images_than_a_request_may_have_are_no_problem(read):
    prepared = read(*[("L", "CC", {"InstanceNumber": number}) for number in range(12)])
    assert sorted(fates(prepared).values()) == ["L_CC", *["same_view_twice"] * 11]


def test_images_of_two_patients_are_all_refused_as_nobody_knows_which_is_right(read):
    prepared = read(("L", "CC", {}), ("L", "MLO", {"PatientID": "another"}))
    assert fates(prepared) == {"i0": "pair: patient_mismatch", "i1": "pair: patient_mismatch"}
    assert prepared.exam is None
    assert SECRET not in str(prepared.problems)


def test_a_header_that_says_another_side_than_the_manifest_is_refused(read):
    assert fates(read(("L", "CC", {"ImageLaterality": "R"}), ("L", "MLO", {}))) == {
        "i0": "read: side_mismatch",
        "i1": "L_MLO",
    }


def test_an_image_without_a_breast_is_refused_when_it_is_prepared(read):
    empty = {"pixels": np.zeros((64, 48), np.uint16)}
    assert fates(read(("L", "CC", empty), ("L", "MLO", {}))) == {"i0": "prepare: no_breast", "i1": "L_MLO"}
    alone = read(("L", "CC", empty))
    assert fates(alone) == {"i0": "prepare: no_breast"}
    assert alone.exam is None


def test_the_manifest_says_what_is_synthetic_where_the_header_does_not(read):
    prepared = read(("L", "CC", {"image_type": "synthetic"}), ("L", "CC", {"image_type": "2D"}))
    assert fates(prepared) == {"i0": "same_view_twice", "i1": "L_CC"}
    assert fates(read(("L", "CC", {"image_type": "2D"}), ("L", "CC", {"image_type": "synthetic"})))["i0"] == "L_CC"
