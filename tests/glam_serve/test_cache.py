"""The result cache: what is asked the same is not computed twice, and nothing else is taken for the same."""

import pickle
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import anyio
import pytest
from starlette.datastructures import UploadFile

from glam.config import FrameConfig
from glam.predict import Predictor
from glam.prediction import Prediction
from glam.reading.read import read_view
from glam_serve.account import open_account
from glam_serve.cache import ResultCache
from glam_serve.uploads import FormFields


def file(content: bytes, name: str = "a.dcm") -> UploadFile:
    return UploadFile(BytesIO(content), filename=name)


FORM = FormFields(
    cc=file(b"cc"),
    mlo=file(b"mlo"),
    images=(),
    laterality="L",
    spacing_mm=None,
    prompts=("a", "b"),
    include=None,
    aggregation="probabilities",
)
OTHERS = {
    "cc": file(b"mlo"),
    "mlo": None,
    "images": (file(b"1"), file(b"2")),
    "laterality": None,
    "spacing_mm": 0.07,
    "prompts": ("ab",),
    "aggregation": "embeddings",
}


def key(fields: FormFields, *, bundle: str = "b", max_bytes: int = 1 << 20) -> str:
    return anyio.run(ResultCache(bundle, max_bytes=max_bytes).key, fields)


@pytest.fixture(scope="module")
def prediction(predictor: Predictor, mammograms: dict[str, Path]) -> Prediction:
    return predictor.predict(read_view(mammograms["L_CC"], FrameConfig()), None)


def test_the_same_content_has_the_same_key_whatever_its_name_and_the_parts_asked_for():
    assert key(replace(FORM, cc=file(b"cc", "another.dcm"), include=("embedding",))) == key(FORM)


@pytest.mark.parametrize("name", OTHERS)
def test_every_field_changes_the_key(name: str):
    assert key(replace(FORM, **{name: OTHERS[name]})) != key(FORM)


def test_files_of_other_places_and_other_bundles_have_other_keys():
    swapped = replace(FORM, cc=file(b"mlo"), mlo=file(b"cc"))
    two = replace(FORM, images=(file(b"1"), file(b"2"))), replace(FORM, images=(file(b"2"), file(b"1")))
    assert len({key(FORM), key(swapped), key(two[0]), key(two[1]), key(FORM, bundle="c")}) == 5


def test_a_field_that_is_added_to_the_form_will_count():
    assert set(OTHERS) | {"include"} == set(vars(FORM))


def test_a_file_is_left_at_its_beginning():
    upload = file(b"0123")
    upload.file.seek(2)
    key(replace(FORM, cc=upload))
    assert upload.file.read() == b"0123"


def test_what_is_kept_is_found_and_counted(prediction: Prediction):
    account, cache = open_account(), ResultCache("b", max_bytes=1 << 24)
    assert cache.find("k") is None
    assert account.cache == "miss"
    cache.keep("k", prediction)
    found = cache.find("k")
    assert account.cache == "hit"
    assert found is not None
    assert found.as_json() == prediction.as_json()


def test_without_memory_nothing_is_kept_and_nothing_is_counted(prediction: Prediction):
    account, cache = open_account(), ResultCache("b", max_bytes=0)
    assert anyio.run(cache.key, FORM) == ""
    cache.keep("", prediction)
    assert cache.find("") is None
    assert (len(cache), account.cache) == (0, None)


def test_the_bytes_are_bounded_and_the_longest_unasked_goes_first(prediction: Prediction):
    size = len(pickle.dumps(prediction))
    cache = ResultCache("b", max_bytes=3 * size + 10)
    for name in "abc":
        cache.keep(name, prediction)
    cache.keep("a", prediction)  # again: it takes no second place
    assert cache.find("b") is not None
    cache.keep("d", prediction)
    assert [name for name in "abcd" if cache.find(name)] == ["a", "b", "d"]


def test_an_answer_larger_than_the_cache_empties_nothing(prediction: Prediction):
    cache = ResultCache("b", max_bytes=100)
    cache.keep("k", prediction)
    assert len(cache) == 0
