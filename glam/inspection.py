"""What reading and preparing made of files, for a person: JSON of each and of each breast, and a picture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from glam.config import FrameConfig
from glam.files import JsonDict
from glam.findings import InputError
from glam.pair import choose_views
from glam.prediction import NOTICE
from glam.prepare import ModelInput, prepare, prepare_sha
from glam.reading.read import CallerFacts, read_view
from glam.view import View

if TYPE_CHECKING:
    from PIL import Image

    from glam.bundle import Bundle


@dataclass(frozen=True)
class Refusal:
    """Why a file cannot be used."""

    code: str
    """A key of CODES, or `unreadable` for a path that cannot be opened."""
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """A file that can be used, without its pixels: many of them fit into memory."""

    view: View
    facts: JsonDict
    picture: "Image.Image | None"


Outcome = tuple[Path, Inspected | Refusal]
"""A file and what became of it."""


def inspect_file(path: Path, config: FrameConfig, asked: CallerFacts, *, drawn: bool) -> Inspected | Refusal:
    """Read and prepare a file; `asked` is the caller's word on it."""
    try:
        view = read_view(path, config, **asked._asdict())
        prepared = prepare(view, config)
    except InputError as error:
        return Refusal(error.code, error.message)
    except OSError as error:
        return Refusal("unreadable", f"{error.strerror or 'it cannot be read'}: check the path")
    picture = None
    if drawn:
        from glam.drawing.inspection import draw_inspection

        picture = draw_inspection(view, prepared)
    nothing = np.zeros((0, 0), np.uint16)
    return Inspected(view=replace(view, pixels=nothing), facts=view_facts(view, prepared), picture=picture)


def view_facts(view: View, prepared: ModelInput) -> JsonDict:
    """Return what was decided, found and done, as JSON types; nothing of it is a value of the patient."""
    return {
        "view": view.view,
        "laterality": view.laterality,
        "spacing_mm": view.spacing_mm,
        "digital": view.is_mg,
        "synthetic": view.synthetic,
        "modifiers": list(view.modifiers),
        "findings": [finding.as_json() for finding in prepared.findings],
        "provenance": view.provenance,
        "frame": prepared.frame.as_json(),
        "landmarks": None if prepared.anatomy is None else prepared.anatomy.as_json(),
        "preparation": None if prepared.preparation is None else prepared.preparation.as_json(),
    }


def report(outcomes: Sequence[Outcome], bundle: "Bundle", frame: FrameConfig) -> tuple[JsonDict, list[str]]:
    """Return the JSON of all files and of each breast, and a line for each file that cannot be used.

    `frame` is the configuration that the files were prepared by. Where `prepare_sha` is not the bundle's own, its model
    was trained on images that were prepared otherwise.
    """
    entries: list[JsonDict] = []
    for path, done in outcomes:
        entries.append({"file": str(path)} | (vars(done) if isinstance(done, Refusal) else done.facts))
    made_for = {"name": bundle.name, "version": bundle.version, "prepare_sha": bundle.prepare_sha}
    answer = {
        "files": entries,
        "breasts": breast_entries(outcomes),
        "prepare_sha": prepare_sha(frame),
        "bundle": made_for,
        "notice": NOTICE,
    }
    return answer, [f"{path}: {done}" for path, done in outcomes if isinstance(done, Refusal)]


def save_pictures(png: Path, outcomes: Sequence[Outcome]) -> None:
    """Write the pictures of the files that can be used, one below the other; no file where there are none."""
    from glam.drawing.inspection import stack

    pictures = [done.picture for _, done in outcomes if isinstance(done, Inspected) and done.picture]
    if pictures:
        stack(pictures).save(png)


def breast_entries(outcomes: Sequence[Outcome]) -> dict[str, JsonDict]:
    """Return, for each side that was seen, which files make the pair and what is odd about it, or why there is none."""
    seen = [(path, done.view) for path, done in outcomes if isinstance(done, Inspected)]
    sides = sorted({view.laterality for _, view in seen})
    return {side: _breast_entry([(path, view) for path, view in seen if view.laterality == side]) for side in sides}


def _breast_entry(files: Sequence[tuple[Path, View]]) -> JsonDict:
    try:
        chosen = choose_views([view for _, view in files])
    except InputError as error:
        return {"code": error.code, "message": error.message}
    return {
        "cc": next(_paths_of(files, chosen.cc), None),
        "mlo": next(_paths_of(files, chosen.mlo), None),
        "findings": [finding.as_json() for finding in chosen.findings],
    }


def _paths_of(files: Sequence[tuple[Path, View]], chosen: View | None) -> Iterator[str]:
    return (str(path) for path, view in files if view is chosen)
