"""Bright plates over a part of a side: found and darkened, and nothing else taken for one."""

import numpy as np
import pytest

from glam.anatomy.plates import plate_mask, without_plates


def breast(rows: int = 400, cols: int = 300) -> np.ndarray:
    """A bright half-disc against the left side, on black."""
    y, x = np.mgrid[:rows, :cols] + 0.5
    inside = 1 - (x / (0.6 * cols)) ** 2 - ((y - rows / 2) / (0.35 * rows)) ** 2
    return np.where(inside > 0, 0.3 + 0.5 * np.sqrt(np.clip(inside, 0, 1)), 0).astype(np.float32)


PLATES = {
    "lower right": (slice(150, None), slice(250, None)),
    "middle of the right": (slice(100, 300), slice(250, None)),
    "top, at the left": (slice(0, 45), slice(0, 150)),
    "over the breast": (slice(200, None), slice(0, 45)),
}


@pytest.mark.parametrize("level", [1.0, 0.95])
@pytest.mark.parametrize("where", PLATES)
def test_a_plate_is_found_to_a_few_pixels_and_made_as_dark_as_the_air(where: str, level: float) -> None:
    picture, plate = breast(), np.zeros((400, 300), bool)
    plate[PLATES[where]] = True
    picture[plate] = level
    mask = plate_mask(picture)
    assert mask is not None
    assert mask[plate].all()
    assert (mask & ~plate).sum() < 0.12 * plate.sum()
    dimmed = without_plates(picture)
    assert (dimmed[mask] == 0).all()
    np.testing.assert_array_equal(dimmed[~mask], picture[~mask])


@pytest.mark.parametrize("length", [0.4, 0.6])
def test_a_thin_plate_is_found(length: float) -> None:
    picture = np.pad(breast(512, 340), ((0, 0), (11, 0)))
    picture[: round(length * 512), :11] = 1
    mask = plate_mask(picture)
    assert mask is not None
    assert mask[: round(length * 512), :11].all()
    assert not mask[:, 16:].any()


def test_letters_on_a_plate_belong_to_it() -> None:
    picture = breast()
    picture[150:, 250:] = 1
    picture[155:395:6, 255:295] = 0
    mask = plate_mask(picture)
    assert mask is not None
    assert mask[150:, 250:].all()


def test_a_plate_that_runs_into_bright_tissue_ends_at_its_edge() -> None:
    picture = breast()
    picture[140:260, 150:300] = np.linspace(0.6, 0.97, 150)  # tissue that brightens evenly up to the plate
    picture = np.pad(picture, ((0, 0), (0, 45)))
    picture[100:, 300:] = 1
    mask = plate_mask(picture)
    assert mask is not None
    assert mask[100:, 300:].all()
    assert not mask[:, :290].any()


@pytest.mark.parametrize("level", [0.55, 0.7])
def test_a_flat_plate_is_found_beside_tissue_as_bright(level: float) -> None:
    picture = np.pad(breast(), ((0, 0), (45, 0)))
    picture[100:, :45] = level
    mask = plate_mask(picture)
    assert mask is not None
    assert mask[100:, :45].all()
    assert not mask[:, 60:].any()


def test_a_ramp_along_rows_or_columns_is_no_plate() -> None:
    ramp = np.tile(np.linspace(0.2, 1, 300, dtype=np.float32), (400, 1))
    for picture in (ramp, np.ascontiguousarray(ramp[:, ::-1]), np.tile(ramp[0][:, None], (1, 200))):
        assert plate_mask(np.where(breast(*picture.shape) > 0.5, np.float32(0.1), picture)) is None


def test_a_frame_with_round_corners_is_found() -> None:
    y, x = np.mgrid[:400, :300]
    beyond = np.hypot(np.maximum(np.abs(x - 149.5) - 50, 0), np.maximum(np.abs(y - 199.5) - 100, 0)) > 75
    picture = np.where(beyond, np.float32(1), np.pad(breast(300, 200), 50))
    mask = plate_mask(picture)
    assert mask is not None
    assert mask[beyond].all()


@pytest.mark.parametrize("picture", [breast(), -breast(), np.minimum(breast(), np.float32(0.4)), breast() * 0])
def test_neither_a_breast_nor_its_air_is_a_plate(picture: np.ndarray) -> None:
    assert plate_mask(picture) is None
    assert without_plates(picture) is picture
