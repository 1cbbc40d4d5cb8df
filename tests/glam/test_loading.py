from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

import glam
from glam.bundle import Bundle
from glam.config import FrameConfig
from glam.findings import InputError
from glam.predict import Predictor
from glam.prepare import prepare
from tests.samples.mammograms import breast_values


def test_a_loaded_model_answers_from_paths_bytes_and_views_alike(random_bundle: Bundle, mammograms: dict[str, Path]):
    cc, mlo = mammograms["L_CC"], mammograms["L_MLO"]
    model = glam.load(random_bundle.folder, threads=1)
    assert isinstance(glam.load(str(random_bundle.folder)), Predictor)  # twice: the module is imported by now
    expected = model.predict(str(cc), mlo).embedding
    np.testing.assert_array_equal(model.predict(cc.read_bytes(), BytesIO(mlo.read_bytes())).embedding, expected)
    np.testing.assert_array_equal(model.predict(model.read(cc), model.read(mlo)).embedding, expected)
    assert model.predict(mlo=mlo).missing == ("cc",)


def test_the_view_that_cannot_be_used_is_named(predictor: Predictor, mammograms: dict[str, Path]):
    with pytest.raises(InputError) as caught:
        predictor.predict(mammograms["L_CC"], b"no mammogram")
    assert (caught.value.code, caught.value.where) == ("not_dicom", "mlo")


def test_a_view_read_by_another_policy_is_refused(mammograms: dict[str, Path]):
    view = glam.read_view(mammograms["L_CC"], FrameConfig(voi="breast"))
    assert view.voi == "breast"
    with pytest.raises(ValueError, match="read by the policy 'breast', the frame takes 'header'"):
        prepare(view, FrameConfig())
    prepare(view, FrameConfig(voi="breast"))


def test_the_callers_spacing_fills_what_a_picture_lacks(tmp_path: Path):
    from PIL import Image

    path = tmp_path / "L_CC.png"
    Image.fromarray((breast_values() >> 4).astype(np.uint8)).save(path)
    view = glam.read_view(path, FrameConfig(), spacing_mm=0.2)
    assert view.spacing_mm == (0.2, 0.2)
    assert view.provenance["spacing_mm"] == "request"
    assert "no_spacing" not in {finding.code for finding in view.findings}


def test_the_headers_spacing_is_followed_and_the_difference_told(mammograms: dict[str, Path]):
    plain = glam.read_view(mammograms["L_CC"], FrameConfig())
    assert plain.spacing_mm
    same = glam.read_view(mammograms["L_CC"], FrameConfig(), spacing_mm=plain.spacing_mm[0])
    other = glam.read_view(mammograms["L_CC"], FrameConfig(), spacing_mm=0.1)
    assert same.findings == plain.findings
    assert other.spacing_mm == plain.spacing_mm
    assert [finding.code for finding in other.findings] == ["spacing_differs"]


def test_a_spacing_that_no_mammogram_has_is_the_callers_fault(mammograms: dict[str, Path]):
    with pytest.raises(InputError, match="spacing_mm 70 is not within"):
        glam.read_view(mammograms["L_CC"], FrameConfig(), spacing_mm=70)
