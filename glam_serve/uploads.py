"""Multipart forms in, prepared breasts out: read and prepared in threads of the API process."""

import asyncio
import errno
import logging
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

import anyio
from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException

from glam.config import FrameConfig
from glam.exam import PreparedExam, prepare_exam
from glam.findings import InputError, input_error
from glam.mapping import Mapper
from glam.pair import PreparedBreast, prepare_breast, read_breast
from glam.prediction import AGGREGATIONS, Aggregation
from glam.view import SPACING_MM, VIEW_KEYS, ViewKey
from glam_serve.account import current_account, timed
from glam_serve.errors import Refusal, in_our_words, is_multipart
from glam_serve.slots import ReadingSlots
from glam_serve.spool import Parser
from glam_serve.turns import Turns

log = logging.getLogger(__name__)

FIELD_RULES: Mapping[str, str] = {
    **{field: f"must be a file with a name: curl -F {field}=@FILE" for field in (*VIEW_KEYS, "images")},
    "laterality": "must be L or R, the side of the breast",
    "spacing_mm": "must be one number of mm from {:g} to {:g}, with a point, such as 0.07".format(*SPACING_MM),
    "aggregation": f"must be {' or '.join(AGGREGATIONS)}",
    **dict.fromkeys(("prompts", "include"), "must be a text, not a file"),
}
"""Every field of the form, and what it must hold."""
FILES = (*VIEW_KEYS, "images")
ONE_BREAST = (*VIEW_KEYS, "laterality")
"""Fields that belong to a request for one breast."""
MANY = frozenset({"images", "prompts", "include"})
"""Fields that may come more than once."""
MAX_PARTS = 128
FORM_FAULTS: Mapping[str, str] = {
    "Part exceeded": "a field of text is longer than 1 MB: send images as files, as in curl -F cc=@CC.dcm",
    "The Content-Disposition": "a part has no name: give it that of a field, as in curl -F cc=@CC.dcm",
    "Too many": f"it has more than {MAX_PARTS} files or {MAX_PARTS} fields of text: send fewer",
    "Missing boundary": "its Content-Type names no boundary: let your HTTP library write that header",
}
"""How Starlette's errors of a form begin, and what is told of them."""
BROKEN_PART = "a boundary or the headers of a part are damaged or too long: let your HTTP library write the body"
NUMBER = re.compile(r"[0-9]{1,3}(\.[0-9]{1,12})?")
SIDE_BY_SIDE_BYTES = 64 << 20
"""Largest upload whose files are read at the same time, where there are free slots; of a larger one the memory of
several decoders counts for more than the wait."""
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


Prepared = TypeVar("Prepared", PreparedBreast, PreparedExam)


@dataclass(frozen=True, kw_only=True)
class FormFields:
    """The fields of a form, each checked by itself."""

    cc: UploadFile | None
    mlo: UploadFile | None
    images: tuple[UploadFile, ...]
    """A whole exam, in place of the two above."""
    laterality: str | None
    spacing_mm: float | None
    prompts: tuple[str, ...]
    include: tuple[str, ...] | None
    aggregation: Aggregation

    @property
    def num_bytes(self) -> int:
        """Of the files."""
        return sum(upload.size or 0 for upload in self.files)

    def close(self) -> None:
        """Give back the temporary files."""
        for upload in self.files:
            upload.file.close()

    @property
    def files(self) -> list[UploadFile]:
        """All of them."""
        return [upload for upload in (self.cc, self.mlo, *self.images) if upload is not None]


async def read_form(request: Request) -> FormFields:
    """Parse a multipart body; an InputError for a field that breaks its rule, a Refusal where the disk is full."""
    if not is_multipart(request):
        raise Refusal("not_multipart")
    try:
        async with aclosing(request.stream()) as body:
            form = await Parser(request.headers, body, max_files=MAX_PARTS, max_fields=MAX_PARTS).parse()
    except MultiPartException as error:
        problem = in_our_words(error.message, FORM_FAULTS, otherwise=BROKEN_PART)
        raise Refusal("malformed_request", problem=problem) from None
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        log.error("no_space: the temporary folder takes no more of an upload")
        raise Refusal("no_space") from None
    try:
        return _form_fields(form)
    except InputError:
        await form.close()
        raise


def _form_fields(form: FormData) -> FormFields:
    _check_fields(form)
    return FormFields(
        cc=_file(form, "cc"),
        mlo=_file(form, "mlo"),
        images=tuple(value for value in form.getlist("images") if isinstance(value, UploadFile)),
        laterality=_laterality(form),
        spacing_mm=_spacing_mm(form),
        prompts=tuple(_texts(form, "prompts")),
        include=tuple(_texts(form, "include")) if "include" in form else None,
        aggregation=_aggregation(form),
    )


def _check_fields(form: FormData) -> None:
    """Refuse fields that are unknown, repeated or of the wrong kind, and empty files."""
    for field in form:
        if field not in FIELD_RULES:
            raise input_error("unknown_field", names=", ".join(FIELD_RULES))
    if "images" in form and (others := [field for field in ONE_BREAST if field in form]):
        what = f"{others[0]} and images exclude each other: an exam's files are routed by their headers"
        raise input_error("bad_field", others[0], problem=what)
    for field in FIELD_RULES:
        if field not in MANY and len(form.getlist(field)) > 1:
            raise input_error("repeated_field", field, field=field)
    for field, value in form.multi_items():
        if isinstance(value, UploadFile) != (field in FILES):
            raise _broken_rule(field)
    _check_no_file_is_empty(form)


def _check_no_file_is_empty(form: FormData) -> None:
    places = Counter[str]()
    for field, value in form.multi_items():
        places[field] += 1
        if isinstance(value, UploadFile) and not value.size:
            which = f"image {places[field]}" if field == "images" else field
            raise input_error("bad_field", field, problem=f"{which} is an empty file: send the mammogram itself")


def _broken_rule(field: str) -> InputError:
    return input_error("bad_field", field, problem=f"{field} {FIELD_RULES[field]}")


def _file(form: FormData, field: str) -> UploadFile | None:
    value = form.get(field)
    return value if isinstance(value, UploadFile) else None


def _texts(form: FormData, field: str) -> list[str]:
    return [value for value in form.getlist(field) if isinstance(value, str)]


def _laterality(form: FormData) -> str | None:
    text = next(iter(_texts(form, "laterality")), None)
    if text not in {None, "L", "R"}:
        raise _broken_rule("laterality")
    return text


def _spacing_mm(form: FormData) -> float | None:
    text = next(iter(_texts(form, "spacing_mm")), None)
    if text is None:
        return None
    if not NUMBER.fullmatch(text) or not SPACING_MM[0] <= float(text) <= SPACING_MM[1]:
        raise _broken_rule("spacing_mm")
    return float(text)


def _aggregation(form: FormData) -> Aggregation:
    text = next(iter(_texts(form, "aggregation")), AGGREGATIONS[0])
    for name in AGGREGATIONS:
        if name == text:
            return name
    raise _broken_rule("aggregation")


class UploadReader:
    """Reads uploads in threads, each file of them in a slot of its own where there are free ones."""

    def __init__(self, config: FrameConfig, slots: ReadingSlots) -> None:
        self.config = config
        self.slots = slots
        self.turns = Turns(slots.an_api)
        self._threads = anyio.CapacityLimiter(math.inf)  # the slots are their limit

    async def breast(self, fields: FormFields, sentences: Sequence[str]) -> PreparedBreast:
        """Read and prepare one breast, and close its files; InputError says what cannot be used."""
        sources: dict[ViewKey, BinaryIO | None] = {
            "cc": fields.cc and fields.cc.file,
            "mlo": fields.mlo and fields.mlo.file,
        }
        laterality, spacing_mm = fields.laterality, fields.spacing_mm

        def read(mapper: Mapper) -> PreparedBreast:
            views = read_breast(sources, self.config, laterality=laterality, spacing_mm=spacing_mm, mapper=mapper)
            return prepare_breast(self.config, views.get("cc"), views.get("mlo"), prompts=sentences, mapper=mapper)

        return await self._read(read, fields)

    async def exam(self, fields: FormFields, sentences: Sequence[str]) -> PreparedExam:
        """Read, choose and prepare the images of an exam, and close their files.

        InputError where they are of several exams, or none can be used.
        """
        files = [upload.file for upload in fields.images]

        def read(mapper: Mapper) -> PreparedExam:
            return prepare_exam(self.config, files, spacing_mm=fields.spacing_mm, prompts=sentences, mapper=mapper)

        return await self._read(read, fields)

    async def _read(self, read: Callable[[Mapper], Prepared], fields: FormFields) -> Prepared:
        try:
            with timed("read"):
                most = max(1, len(fields.files)) if fields.num_bytes <= SIDE_BY_SIDE_BYTES else 1
                async with self.turns.turn(current_account().caller):
                    num_slots = await self.slots.take(most)
                    # A task of its own: it keeps the slots until the threads are done, even if nobody waits any more.
                    return await asyncio.shield(asyncio.create_task(self._read_in_slots(read, num_slots)))
        finally:
            fields.close()

    async def _read_in_slots(self, read: Callable[[Mapper], Prepared], num_slots: int) -> Prepared:
        try:
            return await anyio.to_thread.run_sync(
                _in_threads, read, num_slots, limiter=self._threads, abandon_on_cancel=True
            )
        finally:
            self.slots.give_back(num_slots)


def _in_threads(read: Callable[[Mapper], Prepared], num_threads: int) -> Prepared:
    """Call `read` with a mapper of so many threads."""
    if num_threads == 1:
        return read(map)
    with ThreadPoolExecutor(num_threads) as pool:
        return read(pool.map)
