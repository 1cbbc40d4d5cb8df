"""Examples: exams in folders, of synthetic breasts with the truth beside them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from glam.files import JsonDict
from .answers import Upload

TRUTH = "truth.json"


@dataclass(frozen=True, kw_only=True)
class Example:
    """An exam that is shown without an upload."""

    files: tuple[Path, ...]
    truth: Path | None = field(default=None)
    """What `glam phantom` wrote of it."""

    def uploads(self) -> list[Upload]:
        """Return its files as if they had been uploaded."""
        return [Upload(content=path.read_bytes(), name=path.name) for path in self.files]

    def true_places(self) -> dict[str, JsonDict] | None:
        """Return side -> `boxes` of findings and true `points`, of each view; None where nothing is known."""
        if self.truth is None:
            return None
        return {side: _places(breast) for side, breast in json.loads(self.truth.read_text()).items()}


def examples_in(folder: Path | None) -> dict[str, Example]:
    """Return the exams of a folder: the name of each folder in it, and the DICOM files there."""
    if folder is None:
        return {}
    exams = sorted(path for path in folder.iterdir() if path.is_dir())
    return {exam.name: _example(exam) for exam in exams}


def _example(exam: Path) -> Example:
    truth = exam / TRUTH
    files = tuple(sorted(path for path in exam.iterdir() if path.suffix == ".dcm"))
    return Example(files=files, truth=truth if truth.is_file() else None)


def _places(breast: JsonDict) -> JsonDict:
    """Return what a breast's truth says in stored pixels: [left, top, right, bottom] and [x, y], in the same order."""
    views: dict[str, JsonDict] = {name.lower(): view for name, view in breast["views"].items()}
    seen = [lesion["views"] for lesion in breast["lesions"] if len(lesion["views"]) == len(views)]
    lesions = {key: [list(lesion[key.upper()]["centre"]) for lesion in seen] for key in views}
    return {
        "boxes": {key: [lesion["box"] for lesion in view["lesions"] if lesion] for key, view in views.items()},
        "points": {key: lesions[key] + _rounded(view.get("tissue", ())) for key, view in views.items()},
    }


def _rounded(points: Sequence[Sequence[float]]) -> list[list[float]]:
    return [[round(number, 1) for number in point[:2]] for point in points]
