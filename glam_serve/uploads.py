"""Multipart forms in, prepared breasts out: read and prepared in threads of the API process."""

import errno
import logging
import os
from dataclasses import dataclass

import anyio
from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartParser

from glam.config import FrameConfig
from glam.findings import input_error
from glam.pair import PreparedBreast, prepare_breast
from glam.reading.read import read_view
from glam.view import View
from glam_serve.errors import Refusal

# LitServe keeps whole uploads in memory so that it can pickle them; here they never leave the process that got them.
MultiPartParser.spool_max_size = 1 << 20

FILE_FIELDS = ("cc", "mlo")
TEXT_FIELDS = ("laterality", "spacing_mm")
"""Fields that may come once."""
FIELDS = (*FILE_FIELDS, "images", *TEXT_FIELDS, "prompts", "include")
MAX_PARTS = 128
log = logging.getLogger(__name__)
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, kw_only=True)
class FormFields:
    """What a form holds, checked one by one but not against each other."""

    cc: UploadFile | None
    mlo: UploadFile | None
    laterality: str | None
    spacing_mm: float | None
    prompts: tuple[str, ...]
    include: tuple[str, ...] | None


async def read_form(request: Request) -> FormFields:
    """Parse a multipart body; InputError for fields that cannot be used, Refusal `no_space` where the disk is full."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise Refusal("not_multipart")
    try:
        form = await request.form(max_files=MAX_PARTS, max_fields=MAX_PARTS)
    except OSError as error:
        if error.errno in NO_SPACE:
            log.error("no_space: the temporary folder takes no more of an upload")
            raise Refusal("no_space") from error
        raise
    _check_names(form)
    return FormFields(
        cc=_file(form, "cc"),
        mlo=_file(form, "mlo"),
        laterality=_laterality(form),
        spacing_mm=_spacing_mm(form),
        prompts=tuple(_texts(form, "prompts")),
        include=tuple(_texts(form, "include")) if "include" in form else None,
    )


def _check_names(form: FormData) -> None:
    for field in form:
        if field not in FIELDS:
            raise input_error("unknown_field", names=", ".join(FIELDS))
    if "images" in form:
        raise input_error("images_not_served", "images")
    for field in (*FILE_FIELDS, *TEXT_FIELDS):
        if len(form.getlist(field)) > 1:
            raise input_error("repeated_field", field, field=field)


def _file(form: FormData, field: str) -> UploadFile | None:
    """Return the file of a field; a text in its place, and a file without content, are the caller's slip."""
    value = form.get(field)
    if value is None:
        return None
    if not isinstance(value, UploadFile):
        raise input_error("bad_field", field, what=f"{field} must be a file: curl -F {field}=@FILE")
    return value


def _texts(form: FormData, field: str) -> list[str]:
    values = form.getlist(field)
    if not all(isinstance(value, str) for value in values):
        raise input_error("bad_field", field, what=f"{field} must be a text, not a file")
    return [value for value in values if isinstance(value, str)]


def _text(form: FormData, field: str) -> str | None:
    return next(iter(_texts(form, field)), None)


def _laterality(form: FormData) -> str | None:
    text = _text(form, "laterality")
    if text is None or text in {"L", "R"}:
        return text
    raise input_error("bad_field", "laterality", what="laterality must be L or R, the side of the breast")


def _spacing_mm(form: FormData) -> float | None:
    text = _text(form, "spacing_mm")
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        what = "spacing_mm must be one number of millimetres, such as 0.07"
        raise input_error("bad_field", "spacing_mm", what=what) from None


class UploadReader:
    """Reads uploads in threads, at most one a core, so that a burst of files does not fill the memory."""

    def __init__(self, config: FrameConfig) -> None:
        self.config = config
        self.limiter = anyio.CapacityLimiter(os.cpu_count() or 1)

    async def prepare(self, fields: FormFields) -> PreparedBreast:
        """Read and prepare one breast; InputError says what cannot be used."""
        return await anyio.to_thread.run_sync(self._prepare, fields, limiter=self.limiter, abandon_on_cancel=True)

    def _prepare(self, fields: FormFields) -> PreparedBreast:
        cc, mlo = (self._read(upload, field, fields) for field, upload in (("cc", fields.cc), ("mlo", fields.mlo)))
        return prepare_breast(self.config, cc, mlo, prompts=fields.prompts)

    def _read(self, upload: UploadFile | None, field: str, fields: FormFields) -> View | None:
        if upload is None:
            return None
        return read_view(
            upload.file,
            self.config,
            view=field.upper(),
            laterality=fields.laterality,
            spacing_mm=fields.spacing_mm,
            where=field,
        )
