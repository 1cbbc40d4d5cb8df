"""The files of a bundle's folder: listed with their hashes, put in place whole, and checked against the list."""

import os
import shutil
from pathlib import Path, PurePosixPath

from glam.files import JsonDict, file_sha256

MANIFEST = "bundle.json"
GRAPHS = ("vision.onnx", "alignment.onnx", "text.onnx")
FILES = (*GRAPHS, "tokenizer.json", "prompts.npz", "golden/cc.dcm", "golden/mlo.dcm", "golden/expected.json")
"""What a bundle of this format holds beside its manifest: all of it, and nothing else."""


class BundleError(ValueError):
    """A folder that cannot be used as a bundle: a stable `code`, and a sentence with the way out."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def list_files(folder: Path) -> JsonDict:
    """Return name -> SHA-256 and size of every file in a folder, by name."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {name: _file_entry(folder / name) for name in names}


def check_list(files: JsonDict) -> None:
    """ValueError or TypeError for a list of files that has no meaning, or that leads out of the folder."""
    for name, entry in files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or path.as_posix() != name:
            raise ValueError(f"{name!r} is no plain path inside the folder")
        if type(entry["sha256"]) is not str:
            raise TypeError("the sha256 of a file is a text")


def verify_files(folder: Path, files: JsonDict) -> None:
    """BundleError unless the folder holds the files of a bundle, each as it was listed, and nothing else."""
    for name in FILES:
        if name not in files:
            raise BundleError("bundle_incomplete", f"{folder / MANIFEST} lists no {name}: export it again")
    for name in files:
        if name not in FILES:
            message = f"{folder / MANIFEST} lists {name}, which is no part of a bundle"
            raise BundleError("bundle_stray", f"{message}: export it again, and do not use this one")
    for path in _entries(folder):
        _refuse_stray(path, path.relative_to(folder).as_posix())
    for name, entry in files.items():
        check_file(folder / name, entry["sha256"])


def check_file(path: Path, sha256: str) -> None:
    """BundleError for a file that is missing, or is not the one that was exported."""
    if not path.is_file():
        raise BundleError("bundle_incomplete", f"{path} is missing: copy the bundle again, or export it again")
    if file_sha256(path) != sha256:
        raise BundleError("bundle_changed", f"{path} has changed since the export: copy or export the bundle again")


def refuse_existing(out: Path, *, overwrite: bool) -> None:
    """BundleError unless a bundle may be written at `out`."""
    if out.exists() and not overwrite:
        raise BundleError("bundle_exists", f"{out} exists: choose another folder, or ask for --overwrite")
    if out.exists() and not (out / MANIFEST).is_file():
        raise BundleError("bundle_exists", f"{out} is no bundle and will not be replaced: choose another folder")


def put_in_place(folder: Path, out: Path, *, old: Path) -> None:
    """Flush `folder` and rename it to `out`. What was there waits at `old`, and comes back whatever stops it."""
    for path in [*folder.rglob("*"), folder]:
        _sync(path)
    try:
        if out.exists():
            out.rename(old)
        folder.rename(out)
        _sync(out.parent)
    finally:
        if old.exists() and not out.exists():
            old.rename(out)
        shutil.rmtree(old, ignore_errors=True)


def _entries(folder: Path) -> list[Path]:
    """Everything in a folder, hidden files too, by name; links are not followed."""
    entries: list[Path] = []
    for parent, folders, names in os.walk(folder):
        entries += [Path(parent, name) for name in (*folders, *names)]
    return sorted(entries)


def _refuse_stray(path: Path, name: str) -> None:
    """BundleError for a link, and for what is no file of a bundle."""
    if path.is_symlink():
        message = f"{path} is a link, and a bundle holds files only"
        raise BundleError("bundle_stray", f"{message}: put the file itself there (cp -L), or delete the link")
    is_part = name == MANIFEST or name in FILES or any(file.startswith(f"{name}/") for file in FILES)
    if not is_part:
        message = f"{path} is no part of the bundle, left there perhaps by an editor or the system"
        raise BundleError("bundle_stray", f"{message}: delete it, or copy the bundle again")


def _file_entry(path: Path) -> JsonDict:
    return {"sha256": file_sha256(path), "bytes": path.stat().st_size}


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
