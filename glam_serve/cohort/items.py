"""Items, each of which becomes a row: the images of one, and what reading and preparing them gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import NamedTuple

from glam.config import FrameConfig
from glam.exam import PreparedExam, prepare_images
from glam.files import URL
from glam.findings import CODES, InputError
from glam.reading.read import read_view
from glam.reading.source import OwnBytes, Source
from glam.store.schema import MISSING_FILE, Key, LeftOut, Problem
from glam.view import Side, View, ViewName
from glam_serve.cohort.faults import NotGivenError
from glam_serve.cohort.remote import read_object

UNREADABLE = "unreadable"
FORBIDDEN = "forbidden_file"
STORAGE_FAILED = "storage_failed"
LINKED_FOLDER = "linked_folder"
FILE_SENTENCES: Mapping[str, str] = {
    MISSING_FILE: "there is no file at the manifest's path: put it there, or leave the row out",
    UNREADABLE: "the file cannot be opened: check its permissions and its disk",
    FORBIDDEN: "the object store does not let this machine read the object: grant it, or leave the row out",
    STORAGE_FAILED: "the object store gives others and answers with errors for this object: look at it there",
    LINKED_FOLDER: "a link to a folder is not followed: give --folder what it points at, or put the files there",
}
"""Codes of a cohort's own, beside those of `glam.findings`, of files; `decoders` has those of processes."""


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
    amends: bool = False
    """Whether the shard is in the store, and these are those of its items that are tried again."""


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


def _content_at_path(image: ImageRow) -> Source:
    return read_object(image.path) if URL.match(image.path) else image.path


def read_item(item: Item, config: FrameConfig, content_of: ContentOf = _content_at_path) -> PreparedItem:
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
        view = read_view(
            content_of(image),
            config,
            view=image.view,
            laterality=image.laterality,
            spacing_mm=image.spacing_mm,
            file_name=PurePosixPath(image.path).stem,
        )
    except NotGivenError as error:
        return Problem(image.image_id, "fetch", error.code, error.message)
    except InputError as error:
        return Problem(image.image_id, "read", error.code, error.message)
    except OSError as error:
        code = _code(error, is_remote=URL.match(image.path) is not None)
        return Problem(image.image_id, "read", code, FILE_SENTENCES[code])
    return replace(view, synthetic=view.synthetic or image.image_type == "synthetic")


def _code(error: OSError, *, is_remote: bool) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return MISSING_FILE
    if not is_remote:
        return UNREADABLE
    return FORBIDDEN if isinstance(error, PermissionError) else STORAGE_FAILED


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
