"""Uploads are read in slots: their files at the same time where slots are free, and no slot is lost with a caller."""

import asyncio
import threading
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from starlette.datastructures import UploadFile

from glam.config import FrameConfig
from glam.findings import InputError
from glam.mapping import Mapper
from glam.pair import PreparedBreast, prepare_breast, read_breast
from glam_serve.slots import ReadingSlots
from glam_serve.uploads import SIDE_BY_SIDE_BYTES, FormFields, UploadReader
from glam_serve.vitals import Vitals
from tests.samples.mammograms import file_of

IN_TIME_S = 20.0
CONFIG = FrameConfig(size=28)


def fields_of(*, images: tuple[bytes, ...] = (), size: int | None = None, **views: bytes) -> FormFields:
    """A form with these files; `size`: what each is said to have."""
    uploads = {key: UploadFile(BytesIO(data), size=size or len(data), filename="x") for key, data in views.items()}
    exam = tuple(UploadFile(BytesIO(data), size=size or len(data), filename="x") for data in images)
    return FormFields(
        cc=uploads.get("cc"),
        mlo=uploads.get("mlo"),
        images=exam,
        laterality=None,
        spacing_mm=None,
        prompts=(),
        include=None,
        aggregation="probabilities",
    )


def pair(**options: int) -> FormFields:
    return fields_of(cc=file_of(ViewPosition="CC"), mlo=file_of(ViewPosition="MLO"), **options)


def reader_of(num_slots: int) -> tuple[Vitals, UploadReader]:
    vitals = Vitals(num_apis=1, num_workers=1)
    return vitals, UploadReader(CONFIG, ReadingSlots(vitals, num_slots))


def watched(monkeypatch: pytest.MonkeyPatch, before: Callable[[Mapper], None]) -> None:
    """Call `before` with the mapper of each breast that is read, in its thread."""

    def read(*arguments, mapper: Mapper, **options):
        before(mapper)
        return read_breast(*arguments, mapper=mapper, **options)

    monkeypatch.setattr("glam_serve.uploads.read_breast", read)


def meet(mapper: Mapper) -> None:
    """Return if two calls of a mapper are under way at the same time."""
    barrier = threading.Barrier(2, timeout=IN_TIME_S)
    list(mapper(lambda _: barrier.wait(), range(2)))


def test_both_views_are_read_at_the_same_time_where_two_slots_are_free(monkeypatch: pytest.MonkeyPatch):
    vitals, reader = reader_of(2)
    watched(monkeypatch, meet)
    breast = asyncio.run(reader.breast(pair(), ()))
    expected = _alone()
    assert breast.findings == expected.findings
    for key, view in expected.views.items():
        assert np.array_equal(breast.views[key].input.pixels, view.input.pixels)
    assert vitals.slots_held[0] == 0


def _alone() -> PreparedBreast:
    views = read_breast({"cc": file_of(ViewPosition="CC"), "mlo": file_of(ViewPosition="MLO")}, CONFIG)
    return prepare_breast(CONFIG, views["cc"], views["mlo"])


@pytest.mark.parametrize(("num_slots", "size"), [(1, None), (2, SIDE_BY_SIDE_BYTES // 2 + 1)])
def test_the_views_are_read_one_after_the_other_without_a_free_slot_and_where_they_are_large(
    num_slots: int, size: int | None, monkeypatch: pytest.MonkeyPatch
):
    _, reader = reader_of(num_slots)
    mappers: list[Mapper] = []
    watched(monkeypatch, mappers.append)
    asyncio.run(reader.breast(pair() if size is None else pair(size=size), ()))
    assert mappers == [map]


def test_the_images_of_an_exam_are_prepared_alike_at_the_same_time_and_one_after_the_other():
    images = (file_of(ViewPosition="CC"), b"no image", file_of(ViewPosition="MLO"), file_of(ViewPosition="CC"))
    (_, narrow), (_, wide) = reader_of(1), reader_of(3)
    expected, exam = (asyncio.run(reader.exam(fields_of(images=images), ())) for reader in (narrow, wide))
    assert (exam.used, exam.left_out, exam.findings) == (expected.used, expected.left_out, expected.findings)
    assert [entry.image for entry in exam.left_out] == [2, 4]
    for key, view in expected.breasts["L"].views.items():
        assert np.array_equal(exam.breasts["L"].views[key].input.pixels, view.input.pixels)


@pytest.mark.parametrize("num_slots", [1, 2])
def test_of_two_files_that_cannot_be_used_the_first_is_named(num_slots: int):
    vitals, reader = reader_of(num_slots)
    with pytest.raises(InputError) as error:
        asyncio.run(reader.breast(fields_of(cc=b"no image", mlo=b"none either"), ()))
    assert (error.value.code, error.value.where) == ("not_dicom", "cc")
    assert vitals.slots_held[0] == 0


def test_a_form_without_files_is_refused_and_not_waited_for():
    _, reader = reader_of(1)
    with pytest.raises(InputError, match="there is no mammogram in the request"):
        asyncio.run(asyncio.wait_for(reader.breast(fields_of(), ()), IN_TIME_S))


def test_the_slot_of_a_caller_who_left_is_given_back_when_its_thread_is_done(monkeypatch: pytest.MonkeyPatch):
    vitals, reader = reader_of(1)
    begun, may_end = threading.Event(), threading.Event()

    def stall(_: Mapper) -> None:
        begun.set()
        may_end.wait(IN_TIME_S)

    watched(monkeypatch, stall)

    async def act() -> None:
        leaving = asyncio.create_task(reader.breast(pair(), ()))
        await asyncio.to_thread(begun.wait, IN_TIME_S)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert leaving.cancelled()
        assert vitals.slots_held[0] == 1
        may_end.set()
        assert await asyncio.wait_for(reader.slots.take(), IN_TIME_S) == 1

    asyncio.run(act())
