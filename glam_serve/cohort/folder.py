"""A folder of mammograms in place of a manifest: what its files show by their headers, patients under other names."""

import os
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from glam.files import flush_folder
from glam.findings import InputError
from glam.reading.identify import ImageIdentity, identify
from glam.store.planned import IMAGE_COLUMNS, is_planned, read_plan
from glam.store.pseudonyms import patient_name, pseudonym
from glam.store.schema import SALT_FILE, Problem, StoreError
from glam_serve.cohort.embed import Cohort
from glam_serve.cohort.items import FILE_SENTENCES, LINKED_FOLDER, UNREADABLE

SALT_BYTES = 32
DUPLICATE = "duplicate"
NO_MAMMOGRAM = frozenset(
    {
        DUPLICATE,
        *("not_dicom", "no_pixel_data", "encapsulated_document", "tomosynthesis", "multi_frame", "for_processing"),
        *("not_a_mammogram", "not_monochrome", "unknown_view", "unsupported_picture"),
    }
)
"""Codes of files that belong to a folder of studies and are no images for the model: they fail no run."""


def folder_cohort(
    folder: Path, store: Path, salt: bytes, tell: Callable[[int, int], None] = lambda done, files: None
) -> Cohort:
    """Return the mammograms below a folder, in the order of their paths, and why each other file is none.

    `patient_id` and `exam_id` are salted hashes of what the headers say, `image_id` is the path in the folder. Files
    without a study are the exam of their folder where no two of them show the same view; else each is an exam of its
    own. Of several files of one image the first is taken, or the one that the store has taken before. `tell` is
    called before each file with the number of those that were looked at, and of all.
    """
    if not folder.is_dir():
        raise ValueError(f"no folder at {folder}: give the one that the mammograms are in")
    root = folder.absolute()
    images: dict[str, ImageIdentity] = {}
    rejected: list[Problem] = []
    seen: dict[str, str] = {}
    plan = read_plan(store, ["image_id"])
    taken = frozenset() if plan is None else frozenset(plan.column("image_id").to_pylist())
    names, unreadable = _file_names(root, store)
    rejected += [Problem(_readable(name), "read", code, FILE_SENTENCES[code]) for name, code in unreadable]
    for done, name in enumerate(sorted(names, key=lambda name: (name not in taken, name))):
        tell(done, len(names))
        outcome = _identified(root, name)
        if isinstance(outcome, Problem):
            rejected.append(outcome)
        elif outcome.instance_uid and (first := seen.setdefault(outcome.instance_uid, name)) != name:
            rejected.append(Problem(name, "read", DUPLICATE, f"the same image is in {first}, which was taken"))
        else:
            images[name] = outcome
    if not images:
        raise ValueError(f"no mammogram among the {len(rejected)} files below {folder}: {_commonest(rejected)}")
    exams = _exams(images)
    rows = [_row(name, identity, exams[name], salt) for name, identity in images.items()]
    return Cohort(images=pd.DataFrame(rows, columns=list(IMAGE_COLUMNS)), root=root, rejected=tuple(sorted(rejected)))


def store_salt(store: Path) -> bytes:
    """Return the salt of a store, made at first; only the owner of the file may read it.

    StoreError `store_damaged`: the store has rows, and their salt is gone; another one would name every patient anew.
    """
    path = store / SALT_FILE
    if path.exists() and len(salt := path.read_bytes()) == SALT_BYTES:
        return salt
    if is_planned(store):
        message = f"{store} was not made from a folder, or its {SALT_FILE} is gone"
        raise StoreError("store_damaged", f"{message}: put that back, or give another --out")
    salt, part = secrets.token_bytes(SALT_BYTES), path.with_name(f".{SALT_FILE}.{os.getpid()}.part")
    with open(part, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(salt)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    flush_folder(store)
    return salt


def _file_names(root: Path, store: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the path of every file, those of the store aside, and of every folder not entered, with its code."""
    names: list[str] = []
    failed: list[OSError] = []
    not_entered: list[tuple[str, str]] = []

    def path_in_root(place: str, name: str = "") -> str:
        return os.path.relpath(os.path.join(place, name), root)  # noqa: PTH118  # a Path for each takes a minute

    for place, folders, files in os.walk(root, onerror=failed.append):
        not_entered += [
            (path_in_root(place, name), LINKED_FOLDER) for name in folders if Path(place, name).is_symlink()
        ]
        folders[:] = [name for name in folders if not _is_same(Path(place, name), store)]
        names += [path_in_root(place, name) for name in files]
    return names, [*not_entered, *((path_in_root(str(error.filename)), UNREADABLE) for error in failed)]


def _is_same(folder: Path, store: Path) -> bool:
    try:
        return folder.samefile(store)
    except OSError:  # no such store; a broken link
        return False


def _readable(name: str) -> str:
    """Return a file's name as a table can hold it: what is no UTF-8 is replaced."""
    return os.fsencode(name).decode(errors="replace")


def _identified(root: Path, name: str) -> ImageIdentity | Problem:
    readable_name = _readable(name)
    if readable_name != name or not (root / name).is_file():  # a name that no table can hold; a pipe, a broken link
        return Problem(readable_name, "read", UNREADABLE, FILE_SENTENCES[UNREADABLE])
    try:
        return identify(root / name)
    except InputError as error:
        return Problem(name, "read", error.code, error.message)
    except OSError:
        return Problem(name, "read", UNREADABLE, FILE_SENTENCES[UNREADABLE])


def _exams(images: Mapping[str, ImageIdentity]) -> dict[str, str]:
    """Return what names the exam of each image, before it is hashed."""
    shown = Counter((_folder(name), *entry[:2]) for name, entry in images.items() if not entry.study_uid)
    mixed = {folder for (folder, *_), count in shown.items() if count > 1}
    return {
        name: f"study {identity.study_uid}"
        if identity.study_uid
        else (f"file {name}" if _folder(name) in mixed else f"folder {_folder(name)}")
        for name, identity in images.items()
    }


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _row(name: str, identity: ImageIdentity, exam: str, salt: bytes) -> dict[str, Any]:
    return {
        "image_id": name,
        "patient_id": patient_name(salt, identity.patient_id) if identity.patient_id else pseudonym(salt, exam),
        "exam_id": pseudonym(salt, exam),
        "laterality": identity.laterality,
        "view": identity.view,
        "path": name,
        "spacing_mm": float("nan"),
        "image_type": "synthetic" if identity.is_synthetic else "2D",
    }


def _commonest(rejected: list[Problem]) -> str:
    codes = [problem.code for problem in rejected]
    return f"most are {max(set(codes), key=codes.count)}" if codes else "it is empty"
