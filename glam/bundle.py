"""The exported folder: written whole or not at all, and read only when it is what its `bundle.json` says."""

import hashlib
import io
import json
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from glam.bundle_files import (
    GRAPHS,
    MANIFEST,
    BundleError,
    check_list,
    checked_bytes,
    graphs_of,
    list_files,
    put_in_place,
    refuse_existing,
    variant_graphs,
    verify_files,
)
from glam.config import ModelConfig, model_config_from_json
from glam.files import JsonDict, json_object
from glam.golden import golden_difference
from glam.licence import ACTIONS, LicenceError, forbidding, permission
from glam.variants import check_variants

if TYPE_CHECKING:
    from glam.words.tokens import Tokenizer

__all__ = ["BUNDLE_FORMAT", "DEMO_BUNDLE", "GRAPHS", "MANIFEST", "Bundle", "BundleError", "read_bundle", "write_bundle"]

BUNDLE_FORMAT = 4
"""2: the provenance says of every generation what it started from, and of which weights it is.
3: there may be variants of the graphs, and weights beside a graph. A bundle of format 2 reads as one without them.
4: a model may compare no views, and has no graph of the alignment then; regions may be means, or look beyond their
slice; a view may be embedded by the mean of its patches; an input without an alignment module may have rows and columns
in place of one number. A bundle of format 3 reads as one of none of these."""
_OLDEST_FORMAT = 2
PORTABLE = "portable"
"""The bundle's own graphs, as a name beside those of the variants."""
DEMO_BUNDLE = Path(__file__).with_name("demo")


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
    """False: embeddings stay on the machine (`glam.licence.withheld_embeddings`)."""
    calibration: JsonDict = field(default_factory=dict)
    metrics: JsonDict = field(default_factory=dict)
    weights_sha256: str = ""
    """Of the checkpoint's weights.safetensors; empty where the export did not write it down."""
    sha256: str
    """Of `bundle.json`, which holds the hash of every other file."""
    file_hashes: dict[str, str]
    """Name of a file in the folder -> its SHA-256, against which it is checked again when it is loaded."""
    variants: dict[str, JsonDict] = field(default_factory=dict)
    """Name of a variant -> its graphs, how they were made, and how they compare with the bundle's own."""
    variant: str = PORTABLE
    """The graphs that answer; `glam.loading.with_variant` chooses others."""

    @property
    def graphs(self) -> tuple[str, ...]:
        """Names of the graphs: none of the alignment for a model that does not compare its views."""
        return graphs_of(compares_views=self.model.compares_views)

    def class_vectors(self, task: str) -> np.ndarray:
        """Return the unit text embeddings of a task's classes: (class, joint) float32."""
        with np.load(io.BytesIO(self._content("prompts.npz")), allow_pickle=False) as vectors:
            return vectors[task]

    def tokenizer(self) -> "Tokenizer":
        """Return the tokenizer of the text tower."""
        from glam.words.tokens import Tokenizer

        return Tokenizer.from_json(self._content("tokenizer.json"), where=self.folder / "tokenizer.json")

    def _content(self, name: str) -> bytes:
        """Return a file's bytes, which have the hash that the manifest lists."""
        return checked_bytes(self.folder / name, self.file_hashes[name])


def write_bundle(out: Path, build: Callable[[Path], JsonDict], *, overwrite: bool = False) -> Bundle:
    """Write a bundle at `out`: `build` fills an empty folder and returns the manifest, which gets the files' hashes.

    The folder takes its name only after it has been read back and verified; whatever fails leaves `out` as it was.
    """
    refuse_existing(out, overwrite=overwrite)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        folder = Path(scratch) / "new"
        folder.mkdir()
        manifest = {"format": BUNDLE_FORMAT} | build(folder)
        manifest["files"] = list_files(folder)
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, allow_nan=False) + "\n")
        read_bundle(folder)
        put_in_place(folder, out, old=Path(f"{scratch}-old"))
    return read_bundle(out, verify=False)


def read_bundle(folder: Path | str, *, verify: bool = True) -> Bundle:
    """Read a bundle.

    With `verify`, the folder must hold the files of a bundle with their SHA-256 and nothing else, and this program must
    prepare the bundle's own DICOM files as its exporter did. What the provenance does not permit is refused always.
    """
    folder = Path(folder)
    manifest = _manifest(folder, text := _manifest_text(folder))
    bundle = _bundle(folder, manifest, sha256=hashlib.sha256(text).hexdigest())
    if verify:
        verify_files(folder, manifest["files"], graphs=bundle.graphs, variants=bundle.variants)
        _verify_preparation(bundle)
    return bundle


def _manifest_text(folder: Path) -> bytes:
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleError("bundle_missing", f"no bundle at {folder}: make one with glam-export onnx")
    return path.read_bytes()


def _manifest(folder: Path, text: bytes) -> JsonDict:
    try:
        manifest = json_object(text)
    except ValueError as error:
        message = f"{folder / MANIFEST} does not read as JSON ({error}): export it again"
        raise BundleError("bundle_unreadable", message) from error
    version = manifest.get("format")
    if type(version) is not int or version < 1:
        raise BundleError("bundle_unreadable", f"{folder / MANIFEST} names no bundle format: export it again")
    if version > BUNDLE_FORMAT:
        message = f"{folder} has bundle format {version}, and this program reads up to {BUNDLE_FORMAT}"
        raise BundleError("bundle_newer", f"{message}: pip install -U glam-mammo, or export it again with this version")
    if version < _OLDEST_FORMAT:
        message = f"{folder} has bundle format {version}, which does not say what the model was started from"
        raise BundleError("bundle_older", f"{message}: export it again from its checkpoint")
    return manifest


def _weights_sha256(manifest: JsonDict) -> str:
    export = manifest.get("export", {})
    return export.get("weights_sha256", "") if isinstance(export, dict) else ""


def _bundle(folder: Path, manifest: JsonDict, *, sha256: str) -> Bundle:
    try:
        bundle = _bundle_from_manifest(folder, manifest, sha256)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"{folder / MANIFEST} does not read as a bundle ({type(error).__name__}: {error}): export it again"
        raise BundleError("bundle_unreadable", message) from error
    _check_permission(bundle)
    check_variants(folder / MANIFEST, bundle.variants, compares_views=bundle.model.compares_views)
    return bundle


def _check_permission(bundle: Bundle) -> None:
    """Refuse a bundle that says of itself more than its provenance permits, or whose provenance is another's."""
    path = bundle.folder / MANIFEST
    try:
        permitted = permission(bundle.provenance)
    except LicenceError as error:
        message = f"the provenance in {path} cannot be followed ({error}): export the bundle again"
        raise BundleError("bundle_provenance", message) from error
    if bundle.provenance.get("weights_sha256", "") != bundle.weights_sha256:
        message = f"the provenance in {path} is of other weights than the bundle's: export the bundle again"
        raise BundleError("bundle_provenance", message)
    if not bundle.weights_sha256 and (bundle.may_serve or bundle.may_share):
        message = f"{path} does not say of which weights its provenance is: export the bundle again"
        raise BundleError("bundle_provenance", message)
    for action, claimed, allowed in zip(ACTIONS, (bundle.may_serve, bundle.may_share), permitted, strict=True):
        if claimed and not allowed:
            message = f"{path} says may_{action}, which its provenance does not permit"
            where = forbidding(bundle.provenance, action)
            raise BundleError("bundle_permission", f"{message} (see {where}): copy or export the bundle again")


def _bundle_from_manifest(folder: Path, manifest: JsonDict, sha256: str) -> Bundle:
    permissions = (manifest["may_serve"], manifest["may_share"])
    if any(type(value) is not bool for value in permissions):
        raise TypeError("may_serve and may_share are true or false")
    check_list(manifest["files"])
    model = model_config_from_json(manifest["model"])
    variants = manifest.get("variants", {})
    variant_graphs(variants, graphs_of(compares_views=model.compares_views))
    scale = float(manifest["scale"])
    if not 0 < scale < math.inf:
        raise ValueError(f"scale {scale} is no finite number above 0")
    return Bundle(
        folder=folder,
        name=manifest["name"],
        version=manifest["version"],
        model=model,
        classes={task: tuple(names) for task, names in manifest["classes"].items()},
        scale=scale,
        prepare_sha=manifest["prepare_sha"],
        provenance=manifest["provenance"],
        may_serve=permissions[0],
        may_share=permissions[1],
        calibration=manifest["calibration"],
        metrics=manifest["metrics"],
        weights_sha256=_weights_sha256(manifest),
        sha256=sha256,
        file_hashes={name: entry["sha256"] for name, entry in manifest["files"].items()},
        variants=variants,
    )


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
