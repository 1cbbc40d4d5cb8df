"""Items, each of which becomes a row: the images of one, and what reading and preparing them gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from glam.config import FrameConfig
from glam.exam import PreparedExam, prepare_images
from glam.findings import CODES, InputError
from glam.reading.read import read_view
from glam.reading.source import OwnBytes, Source
from glam.store.schema import MISSING_FILE, Key, LeftOut, Problem
from glam.view import Side, View, ViewName

UNREADABLE = "unreadable"
LINKED_FOLDER = "linked_folder"
FILE_SENTENCES: Mapping[str, str] = {
    MISSING_FILE: "there is no file at the manifest's path: put it there, or leave the row out",
    UNREADABLE: "the file cannot be opened: check its permissions and its disk",
    LINKED_FOLDER: "a link to a folder is not followed: give --folder what it points at, or put the files there",
}
"""Codes of a cohort's own, beside those of `glam.findings`, of files; `decoders` has those of processes."""


class NotGivenError(Exception):
    """An image that its source does not give, and which is at fault itself; `code` is stable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class SourceGoneError(RuntimeError):
    """What images come from is gone: no other image would come either, and the run ends."""


class ImageRow(NamedTuple):
    """An image of an item, as the manifest has it."""

    image_id: str
    path: str
    """Where it is read from."""
    laterality: str
    view: str
    spacing_mm: float | None
    image_type: str


class Item(NamedTuple):
    """The images that become one row."""

    key: Key
    patient_id: str
    images: tuple[ImageRow, ...]


class Shard(NamedTuple):
    """Items that are committed together."""

    number: int
    items_sha256: str
    items: tuple[Item, ...]


@dataclass(frozen=True, kw_only=True)
class PreparedItem:
    """What reading and preparing an item gave: an exam for the model, and a fate for every image."""

    exam: PreparedExam | None
    """None: no image can be used."""
    used: Mapping[tuple[Side, ViewName], str]
    """Side and view -> the id of the image that is used as it."""
    left_out: tuple[LeftOut, ...]
    problems: tuple[Problem, ...]


ContentOf = Callable[[ImageRow], Source | OwnBytes]
"""Returns what an image is read from; NotGivenError, SourceGoneError or OSError where there is nothing."""


def _path_of(image: ImageRow) -> Source:
    return image.path


def read_item(item: Item, config: FrameConfig, content_of: ContentOf = _path_of) -> PreparedItem:
    """Read and prepare the images of an item by the rules of an exam."""
    views: dict[str, View] = {}
    problems: list[Problem] = []
    for image in item.images:
        outcome = _read(image, config, content_of)
        if isinstance(outcome, View):
            views[image.image_id] = outcome
        else:
            problems.append(outcome)
    try:
        exam = prepare_images(config, list(views.values()))
    except InputError as error:  # of several patients or studies: which of the images is right nobody can tell
        return lost_item([*problems, *(Problem(name, "pair", error.code, error.message) for name in views)])
    return _prepared(exam, list(views), problems)


def lost_item(problems: list[Problem]) -> PreparedItem:
    """Return an item that has problems alone."""
    return PreparedItem(exam=None, used={}, left_out=(), problems=tuple(problems))


def _read(image: ImageRow, config: FrameConfig, content_of: ContentOf) -> View | Problem:
    try:
        content = content_of(image)
        view = read_view(content, config, view=image.view, laterality=image.laterality, spacing_mm=image.spacing_mm)
    except NotGivenError as error:
        return Problem(image.image_id, "fetch", error.code, error.message)
    except InputError as error:
        return Problem(image.image_id, "read", error.code, error.message)
    except OSError as error:
        code = MISSING_FILE if isinstance(error, FileNotFoundError | NotADirectoryError) else UNREADABLE
        return Problem(image.image_id, "read", code, FILE_SENTENCES[code])
    return replace(view, synthetic=view.synthetic or image.image_type == "synthetic")


def _prepared(exam: PreparedExam, image_ids: list[str], problems: list[Problem]) -> PreparedItem:
    left_out = list[LeftOut]()
    for entry in exam.left_out:
        image_id = image_ids[entry.image - 1]
        if CODES[entry.code].severity == "error":
            problems.append(Problem(image_id, "prepare", entry.code, entry.message))
        else:
            left_out.append(LeftOut(image_id, entry.code))
    return PreparedItem(
        exam=exam if exam.breasts else None,
        used={(entry.laterality, entry.view): image_ids[entry.image - 1] for entry in exam.used},
        left_out=tuple(left_out),
        problems=tuple(problems),
    )
