"""An exam on its way to the page: files read as the server reads them, its answer, and where the pixels are."""

import base64
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from typing import NamedTuple

from glam.client import Client
from glam.client_answers import BreastAnswer, Probabilities
from glam.config import FrameConfig
from glam.files import JsonDict
from glam.findings import InputError
from glam.licence import LicenceError, generations
from glam.reading.read import read_view
from glam.view import VIEW_KEYS, View

from .answers import Upload, ViewerAnswer, ask
from .downloads import as_json, as_npz
from .packing import packed
from .previews import SmallPicture, small_picture
from .store import Store

NAMES = {"L": "left", "R": "right"}
UNKNOWN_DATA = "data that are not all known: see its model card"
PATIENCE_S, DRAWING_S = 0.5, 0.15
"""So long the server is not asked while small pictures have not been fetched, and then have not been drawn."""
KEPT = "kept/"
"""Where the page fetches bytes, relative to its own address."""


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """What answers at the server, as `GET /v1/model` says."""

    raw: JsonDict = field(repr=False)

    @property
    def frame(self) -> FrameConfig:
        """How its preparation lays a mammogram into the square; reading takes the policy of grey values from it."""
        return FrameConfig(**self.raw["frame"])

    @property
    def side(self) -> int | None:
        """Regions along a side of the square; None: the model does not compare views."""
        return None if self.raw["side"] is None else int(self.raw["side"])

    @property
    def trained_on(self) -> str:
        """What its weights, and those that they started from, were trained on."""
        try:
            records = generations(self.raw["provenance"])
        except LicenceError:
            return UNKNOWN_DATA
        if all(record.get("synthetic") is True for record in records):
            return "synthetic breasts alone"
        is_known = all(record.get("data") for record in records)
        return "data other than synthetic breasts: see its model card" if is_known else UNKNOWN_DATA


@dataclass(frozen=True, kw_only=True)
class ShownExam:
    """An exam that is shown."""

    answer: ViewerAnswer
    payload: JsonDict = field(repr=False)
    """What `viewer.mjs` reads; its `side` is null for a model that has no cells to ask about."""


@dataclass(frozen=True, kw_only=True)
class Preview:
    """Small pictures of an exam about which the server is being asked."""

    payload: JsonDict = field(repr=False)
    """What `viewer.mjs` reads."""


class ReadView(NamedTuple):
    """A view that was read, and its small picture."""

    view: View
    small: SmallPicture


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Where exams are made ready: the server that is asked, what answers there, and the store of what is fetched."""

    client: Client
    model: ServedModel
    store: Store

    def show(
        self,
        uploads: Sequence[Upload],
        *,
        spacing_mm: float | None = None,
        truth: Mapping[str, JsonDict] | None = None,
        example: str | None = None,
    ) -> Iterator[Preview | ShownExam]:
        """Yield small pictures as soon as the files are read, then the exam: the server is asked once those are seen.

        `spacing_mm`: of pictures. `truth`: side -> true places, of synthetic breasts; `example`: its name. A file that
        the server left out is in `answer.left_out` with the reason; ServerError where it has no answer at all, AskError
        for what cannot be one exam.
        """
        with ThreadPoolExecutor(len(os.sched_getaffinity(0)) + 1) as pool:
            reading = [pool.submit(self._read, upload, spacing_mm) for upload in uploads]
            read = [_read_or_none(one) for one in reading]
            preview = self._preview([one for one in read if one is not None])
            yield preview
            self._await_seen(preview)
            asking = pool.submit(ask, self.client, uploads, spacing_mm=spacing_mm)
            packing = {image: pool.submit(packed, one.view.pixels) for image, one in enumerate(read, start=1) if one}
            answer = asking.result()
            told = [
                _view_json(reading[used.image - 1].result().view, answer.breasts[used.laterality])
                | {"pixels": self._kept(packing[used.image].result())}
                for used in answer.used
            ]
        name = "glam-" + "-".join(f"{one.laterality}-{one.view}" for one in answer.used)
        payload = {
            "id": secrets.token_urlsafe(6),
            "notice": answer.notice,
            "example": example,
            "side": self.model.side,
            "views": told,
            "words": _words(self.model, answer),
            "breasts": {side: self._breast(breast, (truth or {}).get(side)) for side, breast in answer.breasts.items()},
            "downloads": {
                "json": self._kept(as_json(answer), f"{name}.json"),
                "npz": self._kept(as_npz(answer), f"{name}.npz"),
            },
        }
        yield ShownExam(answer=answer, payload=payload)

    def _read(self, upload: Upload, spacing_mm: float | None) -> ReadView:
        said = {"view": upload.view, "laterality": upload.laterality, "spacing_mm": spacing_mm}
        view = read_view(BytesIO(upload.content), self.model.frame, **(said if upload.is_picture else {}))
        return ReadView(view, small_picture(view))

    def _preview(self, read: Sequence[ReadView]) -> Preview:
        """Return small pictures; of several of the same view the first."""
        first = {(one.view.laterality, one.view.view): one for one in reversed(read)}
        shown = [self._small(*one) for one in first.values()]
        return Preview(payload={"id": secrets.token_urlsafe(6), "preview": True, "views": shown})

    def _await_seen(self, preview: Preview) -> None:
        """Give the page time to draw small pictures: the server's work would delay it on the same machine."""
        tokens = [view["picture"].removeprefix(KEPT) for view in preview.payload["views"]]
        if self.store.wait_for(tokens, most_s=PATIENCE_S):
            time.sleep(DRAWING_S)

    def _small(self, view: View, picture: SmallPicture) -> JsonDict:
        spacing = None if view.spacing_mm is None else [picture.step * mm for mm in view.spacing_mm]
        return {
            "laterality": view.laterality,
            "view": view.view,
            "rows": picture.rows,
            "cols": picture.cols,
            "spacing": spacing,
            "turned": {"mirrored": picture.mirrored, "upside_down": picture.upside_down},
            "picture": self._kept(picture.png),
        }

    def _breast(self, breast: BreastAnswer, truth: JsonDict | None) -> JsonDict:
        """Return where a breast's views look, and where the page fetches how their cells gather from patches."""
        attention, pooling = breast.raw.get("attention"), breast.raw.get("pooling") or {}
        kept = ("cc_to_mlo", "mlo_to_cc")
        return {
            "attention": attention and {name: attention[name] for name in kept},
            "pooling": {key: self._kept(base64.b64decode(pooling[key])) for key in VIEW_KEYS if key in pooling},
            "truth": truth,
        }

    def _kept(self, content: bytes, file_name: str | None = None) -> str:
        """Return where the page fetches bytes."""
        return KEPT + self.store.put(content, file_name)


def _read_or_none(reading: Future[ReadView]) -> ReadView | None:
    """Return a view; None for a file that cannot be read: the server says why."""
    try:
        return reading.result()
    except InputError:
        return None


def _view_json(view: View, breast: BreastAnswer) -> JsonDict:
    """Return what the page needs of a view; nothing of its patient is in it."""
    told = next(breast.views[key] for key in VIEW_KEYS if key in breast.views and breast.views[key].view == view.view)
    rows, cols = view.pixels.shape
    return {
        "laterality": view.laterality,
        "view": view.view,
        "rows": rows,
        "cols": cols,
        "spacing": view.spacing_mm,
        "frame": told.raw["frame"],
        "nipple": told.raw["landmarks"]["nipple"],
        "findings": [finding.message for finding in told.findings],
    }


def _words(model: ServedModel, answer: ViewerAnswer) -> list[str]:
    """Return the lines that stand under a saved page: which model, and what it says of each breast."""
    lines = [f"{model.raw['name']} {model.raw['version']}, bundle {answer.bundle[:12]}"]
    for side, breast in answer.breasts.items():
        told = [f"{task} " + _percentages(getattr(breast, task)) for task in ("birads", "density")]
        lines.append(f"{NAMES[side]} breast: " + "; ".join(told))
    state = "calibrated" if answer.calibrated else "not calibrated: compare classes, do not read as frequencies"
    return [*lines, f"probabilities are {state}"]


def _percentages(probabilities: Probabilities) -> str:
    return ", ".join(f"{name} {100 * share:.0f} %" for name, share in probabilities.items())
