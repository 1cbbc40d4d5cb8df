"""What a reader takes along: picture, page, answer, arrays."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.samples.pages import Page

pytestmark = pytest.mark.slow


def test_a_picture_holds_every_view_and_the_notice(shown: Page, tmp_path: Path):
    shown.point("L CC")
    path = shown.saved("PNG", tmp_path)
    assert path.name == "glam-R-CC-L-CC-R-MLO-L-MLO.png"
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    red = (pixels[..., 0] > 200) & (pixels[..., 1] < 110) & (pixels[..., 2] < 110)
    blue = (pixels[..., 2] > 200) & (pixels[..., 0] < 110)
    assert red.sum() > 50
    assert blue.sum() > 50
    assert pixels[-12:].max() > 150, "the notice stands under the views"


def test_a_page_holds_the_picture_and_what_the_model_says(shown: Page, tmp_path: Path):
    shown.point("L CC")
    path = shown.saved("PDF", tmp_path)
    content = path.read_bytes()
    assert content.startswith(b"%PDF-1.4")
    assert b"research use only, not for diagnosis" in content
    assert b"The model looks most at left MLO" in content
    assert b"not calibrated" in content
    if shutil.which("pdftotext") is None:
        pytest.skip("no pdftotext: .ci/debian.txt names the package")
    text = subprocess.run(["pdftotext", str(path), "-"], capture_output=True, text=True, check=True).stdout
    assert "left breast: birads" in text
    assert "bundle" in text


def test_the_answer_is_saved_as_the_server_gave_it(shown: Page, tmp_path: Path):
    path = shown.saved("JSON", tmp_path)
    answer = json.loads(path.read_text())
    assert answer["notice"] == "research use only, not for diagnosis"
    assert set(answer["breasts"]) == {"L", "R"}
    with np.load(shown.saved("npz", tmp_path)) as arrays:
        assert json.loads(arrays["answer"].item()) == answer
        assert arrays["L_embedding"].tolist() == answer["breasts"]["L"]["embedding"]
        assert arrays["R_cc_to_mlo"].shape == (9, 9, 9)
