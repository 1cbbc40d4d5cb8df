"""What a PACS said about studies, in a file of the store for its owner alone: where a planned image is.

The manifest of a store holds no identifier of a PACS. This file does, with a line a study: who has it and may ask the
PACS finds the patients. It also spares the questions about a study that a run before has asked.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from glam.store.pseudonyms import pseudonym
from glam.store.schema import PACS_FILE, Problem, StoreError


class ImageRecord(NamedTuple):
    """An image of a study that the model can be asked about, or why it cannot."""

    image: str
    """Its name in the store, and so is that of the patient."""
    series_uid: str
    image_uid: str
    patient: str = ""
    view: str = ""
    laterality: str = ""
    is_synthetic: bool = False
    code: str = ""
    """Why it cannot be used; "": it can."""
    message: str = ""
    issuer: str = ""
    """Name of who gave the patient its number; "": the header does not say."""


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """What a PACS said about a study."""

    pacs: str
    study_uid: str
    modality: str
    num_images: int | None
    """Of all kinds, when it was asked; None: the PACS does not say."""
    images: Sequence[ImageRecord]


class Catalogue:
    """The studies of a store, the newest record of each; what is added is on the disk when `flush` returns."""

    def __init__(self, store: Path, salt: bytes, *, writes: bool) -> None:
        self._salt = salt
        self._file: BinaryIO | None = None
        self._places: dict[str, tuple[str, str, str]] = {}
        self._studies: dict[tuple[str, str, str], StudyRecord] = {}
        path = store / PACS_FILE
        for record in _records(path):
            self._know(record)
        if writes:
            self._file = _opened_at_its_end(path)

    def known(self, pacs: str, study_uid: str, modality: str) -> StudyRecord | None:
        """Return what was said about a study."""
        return self._studies.get((pacs, study_uid, modality))

    def add(self, record: StudyRecord) -> None:
        """Keep what was said about a study."""
        self._know(record)
        if self._file is not None:
            self._file.write(json.dumps(asdict(record)).encode() + b"\n")

    def flush(self) -> None:
        """Put what was added on the disk."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Put what was added on the disk, and add no more."""
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None

    def place_of(self, path: str) -> str:
        """Return where below the service's address an image is, by its path in the manifest."""
        place = self._places.get(path)
        if place is None:
            message = f"{PACS_FILE} of the store does not say where a planned image is"
            raise StoreError("store_damaged", f"{message}: put the file back, or give another --out")
        study, series, image = place
        return f"/studies/{study}/series/{series}/instances/{image}"

    def _know(self, record: StudyRecord) -> None:
        self._studies[record.pacs, record.study_uid, record.modality] = record
        exam = exam_name(self._salt, record.study_uid)
        for image in reversed(record.images):  # of two of one name the first is taken
            if not image.code:
                self._places[path_of(exam, image)] = (record.study_uid, image.series_uid, image.image_uid)


def _records(path: Path) -> Iterator[StudyRecord]:
    """Yield the records that read; a study whose line does not is asked about again."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            try:
                content: Mapping = json.loads(line)
                images = [ImageRecord(*entry) for entry in content["images"]]
                yield StudyRecord(**{**content, "images": images})
            except (ValueError, TypeError, KeyError):
                continue


def _opened_at_its_end(path: Path) -> BinaryIO:
    """Open a file to add lines to; the half line that a kill left is ended."""
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "ab+")
    if file.tell() > 0:
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")
    return file


def exam_name(salt: bytes, study_uid: str) -> str:
    """Return the name that a study has in the store."""
    return pseudonym(salt, f"study {study_uid}")


def path_of(exam: str, image: ImageRecord) -> str:
    """Return the path of an image in the manifest: one name may be in two studies, with two contents."""
    return f"{exam}/{image.image}"


def rejection(record: ImageRecord) -> Problem:
    """Return why an image cannot be used, as the store has it."""
    return Problem(record.image, "read", record.code, record.message)
