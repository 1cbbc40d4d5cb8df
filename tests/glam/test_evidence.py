"""What is no breast is refused, whatever it is made of; no phantom is."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from glam.anatomy.breast import breast_mask, small
from glam.anatomy.evidence import structure
from glam.anatomy.field import small_field
from glam.config import FrameConfig
from glam.findings import InputError
from glam.phantom import PhantomOptions, draw_pair, view_of
from glam.phantom.options import varied
from glam.prepare import prepare
from glam.view import WHITE, View

ROWS, COLS = 800, 640
Draw = Callable[[np.random.Generator], np.ndarray]


def smoothed(rng: np.random.Generator, sigma: float) -> np.ndarray:
    blurred = cv2.GaussianBlur(rng.normal(size=(ROWS, COLS)), (0, 0), sigma)
    return (blurred - blurred.min()) / np.ptp(blurred)


def rectangle(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    image = np.zeros((ROWS, COLS))
    image[top:bottom, left:right] = 0.5
    return image


def text(size: int, words: str) -> np.ndarray:
    image = Image.new("L", (COLS, ROWS))
    ImageDraw.Draw(image).multiline_text((20, 40), words, fill=230, font=ImageFont.load_default(size))
    return np.asarray(image) / 255


def plane(x: float, y: float) -> np.ndarray:
    rows, cols = np.mgrid[:ROWS, :COLS]
    return (x * cols / COLS + y * rows / ROWS) / max(abs(x) + abs(y), 1e-9) + (x < 0) + (y < 0)


def checkered(side: int) -> np.ndarray:
    rows, cols = np.mgrid[:ROWS, :COLS]
    return ((rows // side + cols // side) % 2) * 0.7


NO_BREAST: dict[str, Draw] = {
    "uniform noise": lambda rng: rng.random((ROWS, COLS)),
    "Gaussian noise": lambda rng: rng.normal(0.5, 0.1, (ROWS, COLS)),
    "Poisson noise": lambda rng: rng.poisson(20, (ROWS, COLS)) / 60,
    "few photons": lambda rng: rng.poisson(0.5, (ROWS, COLS)) / 10,
    "salt and pepper": lambda rng: rng.choice([0, 0.5, 1], p=[0.05, 0.9, 0.05], size=(ROWS, COLS)),
    "salt": lambda rng: rng.choice([0, 1], p=[0.95, 0.05], size=(ROWS, COLS)),
    "noisy flat field": lambda rng: 0.6 + rng.normal(0, 0.005, (ROWS, COLS)),
    "noisy gradient": lambda rng: plane(1, 0) + rng.normal(0, 0.03, (ROWS, COLS)),
    "noisy rectangle": lambda rng: rectangle(150, 100, 600, 500) + rng.normal(0, 0.02, (ROWS, COLS)),
    "textured rectangle": lambda rng: rectangle(150, 0, 600, 500) * (0.5 + smoothed(rng, 15)),
    "page of text": lambda _: text(16, "\n".join(["Patient name, date of birth, hospital 0123456789"] * 30)),
    "gradient right": lambda _: plane(1, 0),
    "gradient up": lambda _: plane(0, -1),
    "diagonal gradient": lambda _: plane(1, 1),
    "even": lambda _: np.full((ROWS, COLS), 0.4),
}
NO_BREAST |= {f"noise of {sigma} px": lambda rng, s=sigma: smoothed(rng, s) for sigma in (1, 2, 4, 8, 16, 32, 64, 128)}
NO_BREAST |= {f"checks of {side} px": lambda _, s=side: checkered(s) for side in (4, 20, 60, 100, 200)}
NO_BREAST |= {f"text of {size} px": lambda _, s=size: text(s, "L MLO\n1970") for size in (20, 60, 120, 240)}
NO_BREAST |= {
    f"rectangle {box}": lambda _, b=box: rectangle(*b)
    for box in ((0, 0, 500, 400), (0, 0, ROWS, 300), (200, 100, 500, 500), (0, 0, 400, COLS), (300, 340, ROWS, COLS))
}


@pytest.mark.parametrize("name", NO_BREAST)
def test_what_is_no_breast_is_refused(name: str) -> None:
    for seed in range(2):
        drawn = np.clip(NO_BREAST[name](np.random.default_rng(seed)), 0, 1)
        view = View(pixels=(drawn * WHITE).astype(np.uint16), view="CC", laterality="L")
        with pytest.raises(InputError) as caught:
            prepare(view, FrameConfig(size=126))
        assert caught.value.code == "no_breast"


def test_no_phantom_is_refused() -> None:
    for seed in range(12):
        options = varied() if seed % 2 else PhantomOptions()
        for projection in draw_pair(seed, options)[:2]:
            found = small_field(view_of(projection, FrameConfig()).pixels)
            assert breast_mask(found.picture).mask.any()


def test_a_faint_noisy_breast_is_no_noise() -> None:
    pixels = view_of(draw_pair(2, PhantomOptions(px_mm=0.48)).cc, FrameConfig()).pixels / WHITE
    noise = np.random.default_rng(0).normal(0, 0.1, pixels.shape)
    faint = np.clip(0.3 + 0.4 * pixels + noise * 0.04, 0, 1)
    assert breast_mask(small((faint * WHITE).astype(np.uint16))).mask.any()


def test_of_fine_noise_no_structure_is_left_and_of_a_gradient_all() -> None:
    assert structure(np.random.default_rng(0).random((256, 256), np.float32)) < 0.03
    assert structure(np.tile(np.linspace(0, 1, 256, dtype=np.float32), (256, 1))) > 0.98
