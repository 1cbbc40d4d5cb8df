"""Tensors of a file or folder under the names it has them by: safetensors, or a pickle of plain tensors."""

import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from glam.files import JsonDict, json_object
from glam_train.weights.source import WeightsError

Weights = dict[str, Tensor]

FOLDER_FILES = ("model.safetensors", "pytorch_model.bin")
"""Of a folder, the first that is there; or its shards, which an index of that name lists."""
WRAPPERS = ("state_dict", "model")
"""Keys under which training scripts keep the tensors beside other things."""


@dataclass(frozen=True, kw_only=True)
class StoredWeights:
    """What was read."""

    path: Path
    tensors: Weights
    config: JsonDict
    """The folder's config.json; empty for a file."""
    extra: dict[str, Any] = field(default_factory=dict)
    """What the file holds beside tensors: the metadata of a safetensors file, the other keys of a pickle."""
    files: tuple[Path, ...] = ()
    """Every file that was read."""

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor; WeightsError if there is none of that name."""
        if name not in self.tensors:
            raise WeightsError(f"{self.path} has no {name}: it is incomplete, or of another model")
        return tuple(self.tensors[name].shape)


def read_stored(path: Path) -> StoredWeights:
    """Return the tensors of a file or folder, as stored. WeightsError for what is none; no code in a file is run."""
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        raise WeightsError(f"no weights at {path}: give a file of weights, or a folder with its config.json")
    tensors, extra = _read_file(path)
    return StoredWeights(path=path, tensors=tensors, config={}, extra=extra, files=(path,))


def read_json(path: Path) -> JsonDict:
    """Return a JSON file of a model's folder; empty if there is none. WeightsError for a broken one."""
    if not path.is_file():
        return {}
    try:
        return json_object(path.read_bytes())
    except ValueError as error:
        raise WeightsError(f"{path} does not read ({error}): copy the folder again") from error


def _read_folder(folder: Path) -> StoredWeights:
    config = read_json(folder / "config.json")
    if not config:
        raise WeightsError(f"{folder} has no config.json: give the whole folder of a model, or one file of weights")
    index, files = _weight_files(folder)
    tensors: Weights = {}
    extra: dict[str, Any] = {}
    for file in files:
        more, said = _read_file(file)
        tensors |= more
        extra |= said
    if index is not None and (missing := sorted(read_json(index)["weight_map"].keys() - tensors.keys())):
        raise WeightsError(f"{index} lists {missing[0]}, which none of its files has: copy the folder again")
    described = [name for name in (folder / "config.json", index, folder / "preprocessor_config.json") if name]
    read = tuple(name for name in (*described, *files) if name.is_file())
    return StoredWeights(path=folder, tensors=tensors, config=config, extra=extra, files=read)


def _weight_files(folder: Path) -> tuple[Path | None, list[Path]]:
    """Return the index of the shards, if there is one, and the files with the weights."""
    for name in FOLDER_FILES:
        if (folder / name).is_file():
            return None, [folder / name]
        index = folder / f"{name}.index.json"
        if index.is_file():
            shards = read_json(index).get("weight_map")
            if not isinstance(shards, dict) or not shards:
                raise WeightsError(f"{index} has no weight_map: copy the folder again")
            files = [folder / Path(str(shard)).name for shard in sorted(set(shards.values()))]
            if missing := [file.name for file in files if not file.is_file()]:
                raise WeightsError(f"{folder} lacks {', '.join(missing)}, which {index.name} lists: copy it again")
            return index, files
    raise WeightsError(f"{folder} has none of {', '.join(FOLDER_FILES)}: save the model there as safetensors")


def _read_file(path: Path) -> tuple[Weights, dict[str, Any]]:
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        way_out = "where you trust the file, save its tensors alone with torch.save"
        raise WeightsError(f"{path} holds other things than plain tensors, and is not opened: {way_out}") from error
    except Exception as error:  # torch raises nothing narrower for bytes that it did not write
        reason = str(error).splitlines()[-1] if str(error) else "the file is empty"
        raise WeightsError(
            f"{path} is no file of weights ({reason}): give a .safetensors, .pth or .bin file"
        ) from error
    return _tensors_of(content, path)


def _read_safetensors(path: Path) -> tuple[Weights, dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, dict(file.metadata() or {})
    except SafetensorError as error:
        raise WeightsError(f"{path} does not read as safetensors ({error}): copy it again") from error


def _tensors_of(content: object, path: Path) -> tuple[Weights, dict[str, Any]]:
    """Return the tensors of what was pickled, and what lay beside them."""
    extra: dict[str, Any] = {}
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            extra = {key: value for key, value in content.items() if key != wrapper}
            content = content[wrapper]
            break
    if not isinstance(content, dict) or not content:
        raise WeightsError(f"{path} holds no table of tensors: save a model's state_dict()")
    if strange := [name for name, value in content.items() if not isinstance(value, Tensor)]:
        raise WeightsError(f"{path} has {strange[0]}, which is no tensor: save a model's state_dict()")
    return {str(name): tensor for name, tensor in content.items()}, extra
