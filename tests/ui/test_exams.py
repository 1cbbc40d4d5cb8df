"""Small pictures of an exam, before the server has answered: as they will hang, and first of all."""

import io
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from PIL import Image

from glam.client import ServerError
from glam.config import FrameConfig
from glam_ui.answers import Upload
from glam_ui.exams import Desk, Preview, ServedModel
from glam_ui.store import Store
from tests.samples.mammograms import breast_values, file_of

ROWS, COLS = 1800, 1200


@dataclass
class SilentClient:
    """A server that is asked, and has no answer."""

    is_asked: threading.Event

    def predict_exam(self, images: list[bytes], *, include: Any) -> None:
        self.is_asked.set()
        raise ServerError(503, "not_ready", "try again")


@pytest.fixture
def desk() -> Desk:
    model = ServedModel(raw={"frame": vars(FrameConfig()), "side": 9})
    return Desk(client=SilentClient(threading.Event()), model=model, store=Store())  # type: ignore[arg-type]


PHANTOMS = {"data": {"kind": "phantoms"}, "synthetic": True}
PATIENTS = {"data": "EMBED", "licence": "EMBED data use agreement", "permits": []}


@pytest.mark.parametrize(
    ("provenance", "said"),
    [
        (PHANTOMS | {"start_from": None}, "synthetic breasts alone"),
        (PHANTOMS | {"start_from": PATIENTS}, "data other than synthetic breasts"),
        (PATIENTS | {"start_from": None}, "data other than synthetic breasts"),
        (PHANTOMS | {"start_from": {"data": None, "licence": None}}, "data that are not all known"),
        ({}, "data that are not all known"),
        ({"synthetic": "yes"}, "data that are not all known"),
    ],
)
def test_what_a_model_was_trained_on_is_told_of_what_it_started_from_too(provenance: dict[str, Any], said: str):
    assert ServedModel(raw={"provenance": provenance}).trained_on.startswith(said)


def preview_of(desk: Desk, *contents: bytes) -> Preview:
    shown = next(desk.show([Upload(content=content) for content in contents]))
    assert isinstance(shown, Preview)
    return shown


def test_a_small_picture_is_a_png_of_the_view(desk: Desk):
    values = breast_values(ROWS, COLS)
    (view,) = preview_of(desk, file_of(values)).payload["views"]
    kept = desk.store.get(view["picture"].removeprefix("kept/"))
    assert kept is not None
    picture = np.asarray(Image.open(io.BytesIO(kept.content)))
    assert picture.shape == (view["rows"], view["cols"]) == (ROWS // 2, COLS // 2)
    assert picture.dtype == np.uint8
    brightest = np.unravel_index(np.argmax(values), values.shape)
    assert picture[brightest[0] // 2, brightest[1] // 2] >= np.percentile(picture, 99)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("side", ["L", "R"])
def test_it_hangs_as_the_exam_will(desk: Desk, side: str, mirrored: bool):
    values = breast_values(ROWS, COLS)
    at_left = (side == "L") != mirrored
    (view,) = preview_of(
        desk, file_of(values if at_left else values[:, ::-1], ImageLaterality=side, PatientOrientation=None)
    ).payload["views"]
    assert view["turned"] == {"mirrored": mirrored, "upside_down": False}


def test_what_shows_no_breast_hangs_as_it_is(desk: Desk):
    black = np.zeros((ROWS, COLS), np.uint16)
    black[5, 5] = 1000
    (view,) = preview_of(desk, file_of(black)).payload["views"]
    assert view["turned"] == {"mirrored": False, "upside_down": False}


def test_the_server_is_asked_once_the_small_pictures_are_fetched_or_after_a_while(desk: Desk):
    is_asked: threading.Event = desk.client.is_asked  # type: ignore[attr-defined]
    exam = desk.show([Upload(content=file_of(breast_values(ROWS, COLS)))])
    next(exam)
    assert not is_asked.wait(0.2)
    with pytest.raises(ServerError, match="try again"):
        next(exam)
    assert is_asked.is_set()


def test_the_first_exam_waits_for_no_import():
    code = (
        "import sys; from glam_ui.exams import *; from glam_ui.previews import warm_up\n"
        "warm_up(); before = set(sys.modules)\n"
        "desk = Desk(client=None, model=ServedModel(raw={'frame': vars(FrameConfig())}), store=Store())\n"
        "next(desk.show([Upload(content=sys.stdin.buffer.read())])); print(*set(sys.modules) - before)"
    )
    run = subprocess.run([sys.executable, "-c", code], input=file_of(breast_values(ROWS, COLS)), capture_output=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == []
