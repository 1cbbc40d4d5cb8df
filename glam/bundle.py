"""The exported folder: written whole or not at all, and read only when it is what its `bundle.json` says."""

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from glam.config import ModelConfig, model_config_from_json
from glam.golden import golden_difference

if TYPE_CHECKING:
    from glam.tokens import Tokenizer

BUNDLE_FORMAT = 1
DEMO_BUNDLE = Path(__file__).with_name("demo")
MANIFEST = "bundle.json"
GRAPHS = ("vision.onnx", "alignment.onnx", "text.onnx")
_REQUIRED = (*GRAPHS, "tokenizer.json", "prompts.npz", "golden/cc.dcm", "golden/mlo.dcm", "golden/expected.json")

JsonDict = dict[str, Any]


class BundleError(ValueError):
    """A folder that cannot be used as a bundle: a stable `code`, and a sentence with the way out."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """What `bundle.json` says; the graphs themselves are opened by `glam.runtime`."""

    folder: Path
    name: str
    version: str
    model: ModelConfig
    classes: dict[str, tuple[str, ...]]
    """Task -> its class names, in the order of the class vectors."""
    scale: float
    """Inverse temperature of image against text."""
    prepare_sha: str
    provenance: JsonDict
    """What the model saw: data, licence, commit, and whatever else the training wrote down."""
    may_serve: bool
    """False: loopback only."""
    may_share: bool
    """False: no export of embeddings outside the store."""
    calibration: JsonDict = field(default_factory=dict)
    metrics: JsonDict = field(default_factory=dict)
    weights_sha256: str = ""
    """Of the checkpoint's weights.safetensors; empty where the export did not write it down."""
    sha256: str
    """Of `bundle.json`, which holds the hash of every other file."""

    def class_vectors(self, task: str) -> np.ndarray:
        """Return the unit text embeddings of a task's classes: (class, joint) float32."""
        with np.load(self.folder / "prompts.npz", allow_pickle=False) as vectors:
            return vectors[task]

    def tokenizer(self) -> "Tokenizer":
        """Return the tokenizer of the text tower."""
        from glam.tokens import Tokenizer

        return Tokenizer.from_file(self.folder / "tokenizer.json")


def write_bundle(out: Path, build: Callable[[Path], JsonDict], *, overwrite: bool = False) -> Bundle:
    """Write a bundle at `out`: `build` fills an empty folder and returns the manifest, which gets the files' hashes.

    The folder takes its name only after it has been read back and verified; whatever fails leaves `out` as it was.
    """
    _refuse_existing(out, overwrite=overwrite)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        folder = Path(scratch) / "new"
        folder.mkdir()
        manifest = {"format": BUNDLE_FORMAT} | build(folder)
        manifest["files"] = {name: _file_entry(folder / name) for name in _file_names(folder)}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, allow_nan=False) + "\n")
        read_bundle(folder)
        _sync(folder)
        _put_in_place(folder, out, old=Path(f"{scratch}-old"))
    return read_bundle(out, verify=False)


def read_bundle(folder: Path | str, *, verify: bool = True) -> Bundle:
    """Read a bundle.

    With `verify`, every file it lists must have its SHA-256, and this program must prepare the bundle's own DICOM
    files as its exporter did. Files that it does not list are never opened, and so ignored.
    """
    folder = Path(folder)
    manifest = _manifest(folder, text := _manifest_text(folder))
    bundle = _bundle(folder, manifest, sha256=hashlib.sha256(text).hexdigest())
    if verify:
        _verify_files(folder, manifest["files"])
        _verify_preparation(bundle)
    return bundle


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refuse_existing(out: Path, *, overwrite: bool) -> None:
    if out.exists() and not overwrite:
        raise BundleError("bundle_exists", f"{out} exists: choose another folder, or ask for --overwrite")
    if out.exists() and not (out / MANIFEST).is_file():
        raise BundleError("bundle_exists", f"{out} is no bundle and will not be replaced: choose another folder")


def _put_in_place(folder: Path, out: Path, *, old: Path) -> None:
    """Rename `folder` to `out`. What was there waits at `old`, and comes back whatever stops the renaming."""
    try:
        if out.exists():
            out.rename(old)
        folder.rename(out)
        _sync_path(out.parent)
    finally:
        if old.exists() and not out.exists():
            old.rename(out)
        shutil.rmtree(old, ignore_errors=True)


def _file_names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _file_entry(path: Path) -> JsonDict:
    return {"sha256": file_sha256(path), "bytes": path.stat().st_size}


def _sync(folder: Path) -> None:
    """Flush a folder's files, and the folders that name them, to the disk."""
    for path in [*folder.rglob("*"), folder]:
        _sync_path(path)


def _sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _manifest_text(folder: Path) -> bytes:
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleError("bundle_missing", f"no bundle at {folder}: make one with glam-export onnx")
    return path.read_bytes()


def _manifest(folder: Path, text: bytes) -> JsonDict:
    try:
        manifest = json.loads(text)
    except ValueError as error:
        raise BundleError("bundle_unreadable", f"{folder / MANIFEST} is not JSON ({error}): export it again") from error
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if not isinstance(found, int) or found < 1:
        raise BundleError("bundle_unreadable", f"{folder / MANIFEST} names no bundle format: export it again")
    if found > BUNDLE_FORMAT:
        message = f"{folder} has bundle format {found}, and this program reads up to {BUNDLE_FORMAT}"
        raise BundleError("bundle_newer", f"{message}: pip install -U glam-mammo, or export it again with this version")
    return manifest


def _bundle(folder: Path, manifest: JsonDict, *, sha256: str) -> Bundle:
    try:
        return _bundle_from_manifest(folder, manifest, sha256)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"{folder / MANIFEST} does not read as a bundle ({type(error).__name__}: {error}): export it again"
        raise BundleError("bundle_unreadable", message) from error


def _bundle_from_manifest(folder: Path, manifest: JsonDict, sha256: str) -> Bundle:
    permissions = (manifest["may_serve"], manifest["may_share"])
    if any(type(value) is not bool for value in permissions):
        raise TypeError("may_serve and may_share are true or false")
    if any(PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts for name in manifest["files"]):
        raise ValueError("a file outside the folder")
    if any(type(entry["sha256"]) is not str for entry in manifest["files"].values()):
        raise TypeError("the sha256 of a file is a text")
    scale = float(manifest["scale"])
    if not 0 < scale < math.inf:
        raise ValueError(f"scale {scale} is no finite number above 0")
    return Bundle(
        folder=folder,
        name=manifest["name"],
        version=manifest["version"],
        model=model_config_from_json(manifest["model"]),
        classes={task: tuple(names) for task, names in manifest["classes"].items()},
        scale=scale,
        prepare_sha=manifest["prepare_sha"],
        provenance=manifest["provenance"],
        may_serve=permissions[0],
        may_share=permissions[1],
        calibration=manifest["calibration"],
        metrics=manifest["metrics"],
        weights_sha256=manifest.get("export", {}).get("weights_sha256", ""),
        sha256=sha256,
    )


def _verify_files(folder: Path, files: JsonDict) -> None:
    for name in _REQUIRED:
        if name not in files:
            raise BundleError("bundle_incomplete", f"{folder / MANIFEST} lists no {name}: export it again")
    for name, entry in files.items():
        path = folder / name
        if not path.is_file():
            raise BundleError("bundle_incomplete", f"{path} is missing: copy the bundle again, or export it again")
        if file_sha256(path) != entry["sha256"]:
            raise BundleError("bundle_changed", f"{path} has changed since the export: copy or export the bundle again")


def _verify_preparation(bundle: Bundle) -> None:
    """Refuse a bundle whose images this program would prepare otherwise than those its model was trained on."""
    from glam.prepare import prepare_sha

    if prepare_sha(bundle.model.frame) != bundle.prepare_sha:
        raise _other_preparation(bundle, "the preparation has another version or other parameters")
    try:
        difference = golden_difference(bundle.folder / "golden", bundle.model.frame)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        message = f"{bundle.folder / 'golden'} does not read ({type(error).__name__}: {error}): export the bundle again"
        raise BundleError("bundle_unreadable", message) from error
    if difference:
        raise _other_preparation(bundle, difference)


def _other_preparation(bundle: Bundle, what: str) -> BundleError:
    message = f"{bundle.folder} was made for another preparation of images: {what}"
    return BundleError(
        "bundle_preparation", f"{message}. Install the glam-mammo it was exported with, or train and export it again"
    )
