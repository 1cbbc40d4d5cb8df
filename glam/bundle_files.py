"""The files of a bundle's folder: listed with their hashes, put in place whole, and checked against the list."""

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from glam.files import JsonDict, file_sha256

MANIFEST = "bundle.json"
ALIGNMENT = "alignment.onnx"
GRAPHS = ("vision.onnx", ALIGNMENT, "text.onnx")
"""Of a model that compares its views; one that does not has no graph of the alignment."""
FILES = ("tokenizer.json", "prompts.npz", "golden/cc.dcm", "golden/mlo.dcm", "golden/expected.json")
"""What every bundle holds beside its manifest and its graphs."""
VARIANTS = ("fused", "int8", "fp16", "bf16")
"""Other graphs of the same model that a bundle may hold, in `variants/NAME`: docs/bundle.md."""
_VARIANT_GRAPHS = tuple(f"variants/{variant}/{name}" for variant in VARIANTS for name in GRAPHS)
_PARTS = frozenset((*FILES, *GRAPHS, *_VARIANT_GRAPHS, *(f"{name}.data" for name in (*GRAPHS, *_VARIANT_GRAPHS))))
"""What may stand in a bundle: no file of another name. `.data`: the weights of a graph, beside it."""


class BundleError(ValueError):
    """A folder that cannot be used as a bundle: a stable `code`, and a sentence with the way out."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def graphs_of(*, compares_views: bool) -> tuple[str, ...]:
    """Return the graphs of a model."""
    return tuple(name for name in GRAPHS if compares_views or name != ALIGNMENT)


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


def variant_graphs(variants: JsonDict, graphs: Sequence[str]) -> set[str]:
    """Return the files of the graphs that the variants of a manifest name; ValueError or TypeError for no meaning.

    `graphs`: of the model.
    """
    names: set[str] = set()
    for variant, entry in variants.items():
        if variant not in VARIANTS or not entry["graphs"] or not set(entry["graphs"]) <= set(graphs):
            raise ValueError(f"variants: {variant} with graphs {entry['graphs']} is none that this program knows")
        names |= {f"variants/{variant}/{name}" for name in entry["graphs"]}
    return names


def verify_files(folder: Path, files: JsonDict, *, graphs: Sequence[str], variants: JsonDict) -> None:
    """BundleError unless the folder holds the files of a bundle, each as it was listed, and nothing else.

    `graphs`: of the model; `variants`: of the manifest; the files of those, and of no others, must be there.
    """
    required = {*FILES, *graphs, *variant_graphs(variants, graphs)}
    for name in sorted(required - files.keys()):
        raise BundleError("bundle_incomplete", f"{folder / MANIFEST} lists no {name}: export it again")
    for name in files:
        if name not in _PARTS or name.removesuffix(".data") not in required:
            message = f"{folder / MANIFEST} lists {name}, which is no part of a bundle"
            raise BundleError("bundle_stray", f"{message}: export it again, and do not use this one")
    for path in _entries(folder):
        _refuse_stray(path, path.relative_to(folder).as_posix(), files)
    for name, entry in files.items():
        check_file(folder / name, entry["sha256"])


def check_file(path: Path, sha256: str) -> None:
    """BundleError for a file that is missing, or is not the one that was exported."""
    if not path.is_file():
        raise _missing(path)
    if file_sha256(path) != sha256:
        raise _changed(path)


def checked_bytes(path: Path, sha256: str) -> bytes:
    """Return what a small file holds; BundleError as `check_file`. What was checked is what is returned."""
    if not path.is_file():
        raise _missing(path)
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise _changed(path)
    return content


def _missing(path: Path) -> BundleError:
    return BundleError("bundle_incomplete", f"{path} is missing: copy the bundle again, or export it again")


def _changed(path: Path) -> BundleError:
    return BundleError("bundle_changed", f"{path} has changed since the export: copy or export the bundle again")


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


def _refuse_stray(path: Path, name: str, files: JsonDict) -> None:
    """BundleError for a link, and for what is none of the bundle's listed files."""
    if path.is_symlink():
        message = f"{path} is a link, and a bundle holds files only"
        raise BundleError("bundle_stray", f"{message}: put the file itself there (cp -L), or delete the link")
    is_part = name == MANIFEST or name in files or any(file.startswith(f"{name}/") for file in files)
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
