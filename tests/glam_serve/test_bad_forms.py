"""Forms and files that cannot be followed: what is told before a worker is asked."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from glam.bundle import Bundle
from glam.findings import InputError
from glam.predict import Predictor
from glam.prediction import DEFAULT_INCLUDE
from glam_serve.limits import Limits
from glam_serve.routes import parse_include
from glam_serve.server import make_server
from tests.samples.mammograms import file_of
from tests.samples.served import SECRET, dcm, error_of


def test_a_file_that_is_no_dicom_is_the_callers_fault(bare: TestClient):
    answer = bare.post("/predict", files={"cc": (f"{SECRET}.txt", b"hello")})
    assert error_of(answer) == (415, "not_dicom", "cc")


@pytest.mark.parametrize(
    ("form", "code", "where"),
    [
        ({"prompts": "a mass"}, "missing_view", ""),
        ({"spacing_mm": "wide"}, "bad_field", "spacing_mm"),
        ({"cc": "L_CC.dcm"}, "bad_field", "cc"),
        ({"laterality": "X"}, "bad_field", "laterality"),
        ({"DOE^JANE": "x"}, "unknown_field", ""),
        ({"include": "embedding,pixels"}, "bad_include", "include"),
    ],
)
def test_a_form_that_cannot_be_followed_names_its_field(bare: TestClient, form: dict, code: str, where: str):
    answer = bare.post("/predict", data=form, files={"prompts": (None, "a mass")})
    assert error_of(answer) == (422, code, where)
    assert SECRET not in answer.text


def test_a_fault_of_ours_in_the_grey_values_is_not_the_callers(bare: TestClient, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: object) -> None:
        raise TypeError(SECRET)

    monkeypatch.setattr("glam.reading.tone.modality_values", broken)
    answer = bare.post("/predict", files={"cc": ("cc.dcm", file_of())})
    assert error_of(answer)[:2] == (500, "internal_error")
    assert SECRET not in answer.text


def test_an_exam_of_which_nothing_can_be_used_is_the_callers_fault(bare: TestClient):
    answer = bare.post("/predict", files=[("images", (SECRET, b"x"))])
    assert error_of(answer) == (422, "no_usable_image", "images")
    assert answer.json()["message"].startswith("none of the images can be used; image 1: this is not a DICOM file")
    many = [("images", ("a", b"x"))] * 9
    assert error_of(bare.post("/predict", files=many)) == (422, "bad_images", "images")


@pytest.mark.parametrize("field", ["cc", "mlo", "laterality"])
def test_what_belongs_to_one_breast_does_not_go_with_an_exam(bare: TestClient, field: str):
    value = (None, "L") if field == "laterality" else ("a", b"x")
    answer = bare.post("/predict", files=[("images", ("a", b"x")), (field, value)])
    assert error_of(answer) == (422, "bad_field", field)
    assert answer.json()["message"].startswith(f"{field} and images exclude each other")


def test_a_view_given_twice_is_refused(bare: TestClient):
    answer = bare.post("/predict", files=[("cc", ("a", b"x")), ("cc", ("b", b"y"))])
    assert error_of(answer) == (422, "repeated_field", "cc")


def test_a_body_that_is_no_form_is_refused(bare: TestClient):
    assert error_of(bare.post("/predict", json={"cc": 1})) == (415, "not_multipart", "")
    assert error_of(bare.post("/predict")) == (415, "not_multipart", "")
    broken = bare.post("/predict", content=b"abc", headers={"content-type": "multipart/form-data"})
    assert error_of(broken) == (400, "malformed_request", "")


def test_a_form_that_is_cut_short_is_refused(bare: TestClient, mammograms: dict[str, Path]):
    form = {"content-type": "Multipart/Form-Data; boundary=b"}
    heads = {
        name: f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="a"\r\n\r\n' for name in ("cc", "mlo")
    }
    body = heads["cc"].encode() + b"hello\r\n" + heads["mlo"].encode() + bytes(5000)
    for cut in (body, body + b"\r\n--b", body + b"\r\n--b-", body[:30], b""):
        assert error_of(bare.post("/predict", content=cut, headers=form)) == (400, "malformed_request", "")
        chunks = iter([cut[:200], cut[200:]])
        assert error_of(bare.post("/predict", content=chunks, headers=form)) == (400, "malformed_request", "")
    for end in (b"\r\n--b--\r\n", b"\r\n--b--", b"\r\n--b--\r\nepilogue"):
        whole = bare.post("/predict", content=body + end, headers=form)
        assert error_of(whole) == (415, "not_dicom", "cc")


def test_the_side_of_a_lone_view_is_contradicted_in_fitting_words(random_bundle: Bundle, mammograms: dict[str, Path]):
    server = make_server(random_bundle, limits=Limits(max_upload_mb=64))
    files = {"cc": dcm(mammograms["L_CC"])}
    answer = TestClient(server.app).post("/predict", files=files, data={"laterality": "R"})
    assert error_of(answer) == (422, "side_mismatch", "cc")
    assert "two views" not in answer.json()["message"]


def test_a_view_in_the_others_place_is_refused(random_bundle: Bundle, mammograms: dict[str, Path]):
    server = make_server(random_bundle, limits=Limits(max_upload_mb=64))
    client = TestClient(server.app)
    files = {"cc": dcm(mammograms["L_MLO"]), "mlo": dcm(mammograms["L_CC"])}
    assert error_of(client.post("/predict", files=files)) == (422, "view_mismatch", "cc")
    files = {"cc": dcm(mammograms["L_CC"]), "mlo": dcm(mammograms["R_MLO"])}
    assert error_of(client.post("/predict", files=files)) == (422, "side_mismatch", "")


def test_a_body_that_is_too_large_is_refused_declared_or_not(bare: TestClient):
    large = b"0" * (2 << 20)
    assert error_of(bare.post("/predict", files={"cc": ("a", large)})) == (413, "body_too_large", "")
    form = {"content-type": "multipart/form-data; boundary=b"}
    head = b'--b\r\nContent-Disposition: form-data; name="cc"; filename="a"\r\n\r\n'
    chunked = bare.post("/predict", content=iter([head, large, b"\r\n--b--\r\n"]), headers=form)
    assert error_of(chunked) == (413, "body_too_large", "")


def test_includes_may_be_repeated_or_separated_by_commas():
    assert parse_include(None) == set(DEFAULT_INCLUDE)
    assert parse_include(["embedding, frame", "pooling"]) == {"embedding", "frame", "pooling"}
    assert parse_include([""]) == frozenset()
    with pytest.raises(InputError, match="unknown part in include: expected any of embedding"):
        parse_include(["pixels"])


def test_a_prompt_that_is_too_long_for_the_model_is_the_callers_error(
    bare: TestClient, random_bundle: Bundle, predictor: Predictor
):
    long = "a mass " * 60
    answer = bare.post("/predict", files={"cc": ("cc.dcm", file_of())}, data={"prompts": long})
    assert error_of(answer) == (422, "bad_prompt", "prompts")
    with pytest.raises(InputError, match="tokens, the model takes 64"):
        predictor.predict(file_of(), prompts=[long])
