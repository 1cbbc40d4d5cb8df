"""An exam on its way to the page: files read as the server reads them, its answer, and where the pixels are."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO

from glam.client import Client
from glam.client_answers import BreastAnswer, ExamAnswer, Probabilities
from glam.config import FrameConfig
from glam.files import JsonDict
from glam.reading.read import read_view
from glam.view import VIEW_KEYS, View
from glam_ui.packing import packed
from glam_ui.store import Store

INCLUDE = ("embedding", "attention", "frame", "findings")


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """What answers at the server, as `GET /v1/model` says."""

    raw: JsonDict = field(repr=False)

    @property
    def frame(self) -> FrameConfig:
        """How its preparation lays a mammogram into the square; reading takes the policy of grey values from it."""
        return FrameConfig(**self.raw["frame"])

    @property
    def side(self) -> int:
        """Regions along a side of the square."""
        return int(self.raw["side"])


@dataclass(frozen=True, kw_only=True)
class ShownExam:
    """An exam that is shown."""

    answer: ExamAnswer
    payload: JsonDict = field(repr=False)
    """What `viewer.mjs` reads."""
    tokens: tuple[str, ...] = field(repr=False)
    """Of its pixels in the store."""


def show_exam(
    client: Client,
    model: ServedModel,
    files: Sequence[bytes],
    store: Store,
    *,
    truth: Mapping[str, JsonDict] | None = None,
) -> ShownExam:
    """Ask the server about the files of an exam, and put their pixels into the store.

    `truth`: side -> true places, of synthetic breasts. A file that the server left out is in `answer.left_out` with the
    reason; ServerError where it has no answer at all.
    """
    answer = client.predict_exam(files, include=INCLUDE)
    views, tokens = list[JsonDict](), list[str]()
    for used in answer.used:
        view = read_view(BytesIO(files[used.image - 1]), model.frame)
        token = store.put(packed(view.pixels))
        tokens.append(token)
        views.append(_view_json(view, answer.breasts[used.laterality], f"pixels/{token}"))
    payload = {
        "id": secrets.token_urlsafe(6),
        "notice": answer.raw["notice"],
        "side": model.side,
        "views": views,
        "words": _words(model, answer),
        "breasts": {side: _breast_json(breast, (truth or {}).get(side)) for side, breast in answer.breasts.items()},
    }
    return ShownExam(answer=answer, payload=payload, tokens=tuple(tokens))


def _view_json(view: View, breast: BreastAnswer, pixels: str) -> JsonDict:
    """Return what the page needs of a view; nothing of its patient is in it."""
    told = next(breast.views[key] for key in VIEW_KEYS if key in breast.views and breast.views[key].view == view.view)
    rows, cols = view.pixels.shape
    return {
        "laterality": view.laterality,
        "view": view.view,
        "rows": rows,
        "cols": cols,
        "spacing": view.spacing_mm,
        "pixels": pixels,
        "frame": told.raw["frame"],
        "nipple": told.raw["landmarks"]["nipple"],
        "findings": [finding.message for finding in told.findings],
    }


def _words(model: ServedModel, answer: ExamAnswer) -> list[str]:
    """Return the lines that stand under a saved page: which model, and what it says of each breast."""
    names = {"L": "left", "R": "right"}
    lines = [f"{model.raw['name']} {model.raw['version']}, bundle {answer.bundle[:12]}"]
    for side, breast in answer.breasts.items():
        told = [f"{task} " + _percentages(getattr(breast, task)) for task in ("birads", "density")]
        lines.append(f"{names[side]} breast: " + "; ".join(told))
    state = "calibrated" if answer.calibrated else "not calibrated: compare classes, do not read as frequencies"
    return [*lines, f"probabilities are {state}"]


def _percentages(probabilities: Probabilities) -> str:
    return ", ".join(f"{name} {100 * share:.0f} %" for name, share in probabilities.items())


def _breast_json(breast: BreastAnswer, truth: JsonDict | None) -> JsonDict:
    attention = breast.raw.get("attention")
    kept = ("cc_to_mlo", "mlo_to_cc")
    return {"attention": attention and {name: attention[name] for name in kept}, "truth": truth}
