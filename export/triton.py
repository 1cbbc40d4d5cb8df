"""A bundle as a model repository of the Triton Inference Server: the same graphs, and how Triton is to run them."""

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from glam.bundle import Bundle, BundleError
from glam.bundle_files import check_file, list_files, put_in_place
from glam.files import JsonDict, write_json
from glam.licence import LicenceError
from glam.prediction import NOTICE
from glam.runtime import onnx_session
from glam.triton.repository import BREAST, BUNDLE_PARAMETER, GRAPH_NAMES, MAX_BATCH, Graph, model_name, model_version

if TYPE_CHECKING:
    import onnxruntime

REPOSITORY_FILE = "glam.json"
"""At the root of a repository, where Triton looks at folders only."""
REPOSITORY_FORMAT = 1
QUEUE_DELAY_US = 2000
"""Longest time that Triton keeps a request back so that others may join its batch."""
QUEUE_TIMEOUT_US = 30_000_000
"""Longest time in Triton's queue where the request itself names none; it is refused then, and not computed."""
_TYPES = {"tensor(float)": "TYPE_FP32", "tensor(int64)": "TYPE_INT64"}

Tensor = tuple[str, str, list[int]]
"""Name, Triton's type, dimensions without the batch; -1 varies."""


def write_repository(bundle: Bundle, out: Path, *, keep_local: bool = False, overwrite: bool = False) -> Path:
    """Write the model repository of a bundle whole, or leave `out` as it was; return `out`.

    LicenceError for a bundle that may not be shared or served, unless `keep_local`: whoever reaches a Triton server
    gets embeddings from it. BundleError `repository_exists` for a place that is taken.
    """
    _check_licence(bundle, keep_local=keep_local)
    _refuse_existing(out, overwrite=overwrite)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        folder = Path(scratch) / "new"
        folder.mkdir()
        for graph in _graphs_of(bundle):
            write_model(bundle, graph, folder)
        if "alignment" in _graphs_of(bundle):
            _write_ensemble(bundle, folder)
        write_json(folder / REPOSITORY_FILE, _manifest(bundle, folder, keep_local=keep_local))
        put_in_place(folder, out, old=Path(f"{scratch}-old"))
    return out


def _check_licence(bundle: Bundle, *, keep_local: bool) -> None:
    """Refuse to prepare for a network what its licence keeps on this machine."""
    withheld = [name for name in ("may_serve", "may_share") if not getattr(bundle, name)]
    if withheld and not keep_local:
        raise LicenceError(
            f"{bundle.name} stays on this machine ({' and '.join(withheld)} false), and whoever reaches a Triton server"
            " gets embeddings from it: ask for --keep-local, and let Triton listen on the loopback interface only"
        )


def _refuse_existing(out: Path, *, overwrite: bool) -> None:
    if out.exists() and not overwrite:
        raise BundleError("repository_exists", f"{out} exists: choose another folder, or ask for --overwrite")
    if out.exists() and not (out / REPOSITORY_FILE).is_file():
        message = f"{out} was not written by glam-export triton and will not be replaced: choose another folder"
        raise BundleError("repository_exists", message)


def _graphs_of(bundle: Bundle) -> tuple[Graph, ...]:
    """Return the graphs that the bundle has; one without an alignment module has no graph of it."""
    return tuple(graph for graph in GRAPH_NAMES if f"{graph}.onnx" in bundle.file_hashes)


def write_model(bundle: Bundle, graph: Graph, folder: Path) -> None:
    """Write the folder of a graph: the file unchanged, with its weights beside it, and its config.pbtxt."""
    model = folder / model_name(graph)
    version = model / model_version(bundle.sha256)
    version.mkdir(parents=True)
    source = f"{graph}.onnx"
    _copy(bundle, source, version / "model.onnx")
    if (weights := f"{source}.data") in bundle.file_hashes:  # the graph knows its weights by this name
        _copy(bundle, weights, version / weights)
    session = _written_session(bundle, graph, folder)
    config = [
        f'name: "{model.name}"',
        'backend: "onnxruntime"',
        'default_model_filename: "model.onnx"',
        f"max_batch_size: {MAX_BATCH[graph]}",
        *_tensors("input", _rows(session.get_inputs())),
        *_tensors("output", _rows(session.get_outputs())),
        *_dynamic_batching(),
        *_parameters({BUNDLE_PARAMETER: bundle.sha256}),
    ]
    (model / "config.pbtxt").write_text("\n".join(config) + "\n")


def _written_session(bundle: Bundle, graph: Graph, folder: Path) -> "onnxruntime.InferenceSession":
    return onnx_session(folder / model_name(graph) / model_version(bundle.sha256) / "model.onnx", threads=1)


def _copy(bundle: Bundle, name: str, target: Path) -> None:
    """Copy a file of the bundle; BundleError when the copy is not what was exported."""
    shutil.copyfile(bundle.folder / name, target)
    check_file(target, bundle.file_hashes[name])


def _write_ensemble(bundle: Bundle, folder: Path) -> None:
    """Write the ensemble that takes both images of a breast, so that no patches cross the network."""
    version = model_version(bundle.sha256)
    vision, alignment = (_written_session(bundle, graph, folder) for graph in ("vision", "alignment"))
    [(_, image_type, image_dims)] = _rows(vision.get_inputs())
    embedding = next(row for row in _rows(vision.get_outputs()) if row[0] == "image_embedding")
    maps = _rows(alignment.get_outputs())
    steps = [_step("vision", version, {"image": f"image_{view}"}, _vision_outputs(view)) for view in ("cc", "mlo")]
    patches = {f"patches_{view}": f"patches_{view}" for view in ("cc", "mlo")}
    steps.append(_step("alignment", version, patches, {name: name for name, _, _ in maps}))
    config = [
        f'name: "{BREAST}"',
        'platform: "ensemble"',
        f"max_batch_size: {MAX_BATCH['alignment']}",
        *_tensors("input", [(f"image_{view}", image_type, image_dims) for view in ("cc", "mlo")]),
        *_tensors("output", [*((f"embedding_{view}", *embedding[1:]) for view in ("cc", "mlo")), *maps]),
        "ensemble_scheduling {",
        *(line for step in steps for line in step),
        "}",
        *_parameters({BUNDLE_PARAMETER: bundle.sha256}),
    ]
    (folder / BREAST / version).mkdir(parents=True)
    (folder / BREAST / "config.pbtxt").write_text("\n".join(config) + "\n")


def _vision_outputs(view: str) -> dict[str, str]:
    return {"image_embedding": f"embedding_{view}", "patches": f"patches_{view}"}


def _rows(entries: "Sequence[onnxruntime.NodeArg]") -> list[Tensor]:
    """Return the inputs or outputs of a graph as Triton counts them: its first dimension is the batch."""
    return [
        (entry.name, _TYPES[entry.type], [size if isinstance(size, int) else -1 for size in entry.shape[1:]])
        for entry in entries
    ]


def _tensors(field: str, tensors: Iterable[Tensor]) -> list[str]:
    return [f'{field} {{ name: "{name}" data_type: {kind} dims: {dims} }}' for name, kind, dims in tensors]


def _dynamic_batching() -> list[str]:
    return [
        "dynamic_batching {",
        f"  max_queue_delay_microseconds: {QUEUE_DELAY_US}",
        "  default_queue_policy {",
        "    timeout_action: REJECT",
        f"    default_timeout_microseconds: {QUEUE_TIMEOUT_US}",
        "    allow_timeout_override: true",
        "  }",
        "}",
    ]


def _step(graph: Graph, version: str, inputs: dict[str, str], outputs: dict[str, str]) -> list[str]:
    """Return a step of the ensemble; `inputs` and `outputs`: name in the graph -> name in the ensemble."""
    maps = [f'    input_map {{ key: "{key}" value: "{value}" }}' for key, value in inputs.items()]
    maps += [f'    output_map {{ key: "{key}" value: "{value}" }}' for key, value in outputs.items()]
    return ["  step {", f'    model_name: "{model_name(graph)}"', f"    model_version: {version}", *maps, "  }"]


def _parameters(values: dict[str, str]) -> list[str]:
    return [f'parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}' for key, value in values.items()]


def _manifest(bundle: Bundle, folder: Path, *, keep_local: bool) -> JsonDict:
    """Return what a repository says of itself."""
    return {
        "format": REPOSITORY_FORMAT,
        "name": bundle.name,
        "version": bundle.version,
        "bundle": bundle.sha256,
        "model_version": model_version(bundle.sha256),
        "may_serve": bundle.may_serve,
        "may_share": bundle.may_share,
        "kept_local": keep_local,
        "notice": NOTICE,
        "files": list_files(folder),
    }
