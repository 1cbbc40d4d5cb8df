"""The model behind `POST /predict`: uploads are read and prepared in the API process, the worker only runs the model.

What crosses from one to the other is the prepared squares and their Frames, never a DICOM file. No
`from __future__ import annotations` here: LitServe reads the annotation of `decode_request` itself.
"""

import json
import logging
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import anyio
import litserve
from fastapi import Depends, File, Form, HTTPException, Request, Response, UploadFile
from starlette.datastructures import UploadFile as StarletteUploadFile
from starlette.formparsers import MultiPartParser

from glam.bundle import Bundle, BundleError, read_bundle
from glam.config import FrameConfig
from glam.findings import InputError, input_error
from glam.licence import withheld_embeddings
from glam.loading import open_runtime
from glam.pair import PreparedBreast, prepare_breast, read_breast
from glam.predict import Predictor
from glam.prediction import DEFAULT_INCLUDE, INCLUDES, check_include
from glam.view import SPACING_MM, VIEW_KEYS
from glam_serve.errors import error_response, is_multipart, status_response
from glam_serve.log import log_to_stderr, where_raised
from glam_serve.schema import PredictionBody
from glam_serve.sharing import ASK_DIRECTLY, stays_here

log = logging.getLogger(__name__)

# LitServe keeps whole uploads in memory so that it can pickle them; here they never leave the process that got them.
MultiPartParser.spool_max_size = 1 << 20

FIELDS = (*VIEW_KEYS, "images", "laterality", "spacing_mm", "prompts", "include")
MANY = frozenset({"images", "prompts", "include"})
"""Fields that may come more than once."""


@dataclass(frozen=True, kw_only=True)
class PredictRequest:
    """A request as the worker gets it: a prepared breast, and which parts of the answer to send."""

    breast: PreparedBreast
    include: frozenset[str]
    stays_here: bool = False
    """Whether it is known that the answer does not leave this machine."""


@dataclass(frozen=True, kw_only=True)
class FormFields:
    """The fields of a form from which a breast is read, not yet checked against each other."""

    cc: UploadFile | None
    mlo: UploadFile | None
    laterality: str | None
    spacing_mm: float | None
    prompts: tuple[str, ...]


class UploadReader:
    """Reader of uploaded files, in threads, at most one a core, so that a burst of files does not fill the memory."""

    def __init__(self, config: FrameConfig) -> None:
        self.config = config
        self.limiter = anyio.CapacityLimiter(os.cpu_count() or 1)

    async def prepare(self, sent: FormFields) -> PreparedBreast:
        """Read and prepare one breast; InputError says what cannot be used."""
        return await anyio.to_thread.run_sync(self._prepare, sent, limiter=self.limiter)

    def _prepare(self, sent: FormFields) -> PreparedBreast:
        cc, mlo = (upload and upload.file for upload in (sent.cc, sent.mlo))
        views = read_breast({"cc": cc, "mlo": mlo}, self.config, laterality=sent.laterality, spacing_mm=sent.spacing_mm)
        return prepare_breast(self.config, views.get("cc"), views.get("mlo"), prompts=sent.prompts)


def form_fields(
    cc: Annotated[UploadFile | None, File(description="File of the CC view: DICOM, PNG, JPEG or TIFF.")] = None,
    mlo: Annotated[UploadFile | None, File(description="File of the MLO view of the same breast.")] = None,
    laterality: Annotated[
        Literal["L", "R"] | None, Form(description="Side of the breast, where the headers do not say it.")
    ] = None,
    spacing_mm: Annotated[
        float | None,
        Form(
            description="Pixel spacing in mm, where a file has none: of PNG, JPEG and TIFF pictures.",
            ge=SPACING_MM[0],
            le=SPACING_MM[1],
        ),
    ] = None,
    prompts: Annotated[
        list[str] | None, Form(description="A sentence to compare the breast with; the field may be repeated.")
    ] = None,
) -> FormFields:
    """Return the fields of a form, each checked by itself; FastAPI publishes them in the schema."""
    return FormFields(cc=cc, mlo=mlo, laterality=laterality, spacing_mm=spacing_mm, prompts=tuple(prompts or ()))


async def parse_upload(
    request: Request,
    sent: Annotated[FormFields, Depends(form_fields)],
    include: Annotated[
        list[str] | None,
        Form(description=f"Parts of the answer, of {', '.join(INCLUDES)}; repeated or separated by commas."),
    ] = None,
) -> PredictRequest:
    """Return what the worker is asked by a multipart request; an InputError or HTTPException says what is wrong."""
    await _check_form(request)
    reader: UploadReader = request.app.state.upload_reader
    chosen = parse_include(include)
    return PredictRequest(breast=await reader.prepare(sent), include=chosen, stays_here=stays_here(request))


async def _check_form(request: Request) -> None:
    """Refuse a body that is no multipart form, and fields that are unknown, repeated or empty files."""
    if not is_multipart(request):
        raise HTTPException(415)
    form = await request.form()  # FastAPI has parsed and kept it
    for field in form:
        if field not in FIELDS:
            raise input_error("unknown_field", names=", ".join(FIELDS))
    if "images" in form:
        raise input_error("images_not_served", "images")
    for field in FIELDS:
        if field not in MANY and len(form.getlist(field)) > 1:
            raise input_error("repeated_field", field, field=field)
    for field in VIEW_KEYS:
        upload = form.get(field)
        if isinstance(upload, StarletteUploadFile) and not upload.size:
            raise input_error("bad_field", field, problem=f"{field} is an empty file: send the mammogram itself")


def parse_include(include: Sequence[str] | None) -> frozenset[str]:
    """Return the parts of an answer that the fields name; the usual ones when there are no fields."""
    if include is None:
        return frozenset(DEFAULT_INCLUDE)
    names = [name.strip() for field in include for name in field.split(",") if name.strip()]
    try:
        return check_include(names)
    except ValueError:
        raise input_error("bad_include", "include", names=", ".join(INCLUDES)) from None


class GlamAPI(litserve.LitAPI):
    """One worker: a bundle and its runtime."""

    def __init__(self, bundle: Bundle, *, threads: int | None, provider: str) -> None:
        super().__init__(api_path="/predict")
        self.folder: Path = bundle.folder
        self.sha256 = bundle.sha256
        self.threads = threads
        self.provider = provider

    def setup(self, device: str) -> None:
        """Load the model, in the worker process."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process: the parent ends this one
        log_to_stderr()
        bundle = read_bundle(self.folder, verify=False)  # verified by the parent
        if bundle.sha256 != self.sha256:
            raise BundleError("bundle_changed", f"{self.folder} changed while the server started: start it again")
        runtime = open_runtime(bundle, threads=self.threads, provider=self.provider)
        self.predictor = Predictor(bundle, runtime, withholds=True)

    # FastAPI reads this signature: the **kwargs of LitAPI's own method would be a parameter of the request.
    def decode_request(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, request: Annotated[PredictRequest, Depends(parse_upload)]
    ) -> PredictRequest:
        """Return what `parse_upload` returned in the API process."""
        return request

    def predict(self, x: PredictRequest, **_: object) -> Response:
        """Return the whole answer; a failure of the model is an answer too, so that it cannot hurt another request."""
        try:
            withheld = withheld_embeddings(
                may_share=self.predictor.bundle.may_share, stays_here=x.stays_here, way_out=ASK_DIRECTLY
            )
            answer = self.predictor.answer(x.breast).as_json(x.include, withheld=withheld)
            return Response(json.dumps(answer, allow_nan=False), media_type="application/json")
        except InputError as error:  # a prompt that only the tokenizer finds too long
            return error_response(error.status, error.code, error.message, where=error.where)
        except Exception as error:
            log.error("the model failed: %s", where_raised(error))
            return status_response(500)

    def encode_response(self, output: Response, **_: object) -> PredictionBody:
        """Send the answer as it is; the annotation publishes its shape."""
        return output  # pyright: ignore[reportReturnType]
