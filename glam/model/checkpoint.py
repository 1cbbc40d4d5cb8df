"""The checkpoint folder: config.json, weights.safetensors and tokenizer.json, never a pickle."""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from glam.config import model_config_from_json
from glam.files import replacing
from glam.model.glam import Glam

HEADS = "method."
"""What the names of weights begin with that only training uses."""


def save_checkpoint(
    model: Glam, folder: Path | str, tokenizer_json: str | Path, *, heads: Mapping[str, Tensor] | None = None
) -> None:
    """Write config.json, weights.safetensors and tokenizer.json; at no moment is a file half written.

    `tokenizer_json`: the text of the file, or the path of one to copy. `heads`: weights that only training uses, which
    are written as "method.NAME".
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    every = model.state_dict() | {HEADS + name: tensor for name, tensor in (heads or {}).items()}
    weights = {name: tensor.detach().contiguous() for name, tensor in every.items()}
    tokenizer = tokenizer_json if isinstance(tokenizer_json, str) else tokenizer_json.read_text("utf-8")
    config = json.dumps(model.config.as_json(), indent=2) + "\n"
    for name, text in (("tokenizer.json", tokenizer), ("config.json", config)):
        with replacing(folder / name) as part:
            part.write_text(text, "utf-8")
    with replacing(folder / "weights.safetensors") as part:
        save_file(weights, part)
        part.chmod((folder / "config.json").stat().st_mode)  # the library writes files that their owner alone may read


def load_heads(folder: Path | str) -> dict[str, Tensor]:
    """Return the weights of a checkpoint that only training uses, by their names in the method."""
    weights = _read_weights(Path(folder))
    return {name.removeprefix(HEADS): tensor for name, tensor in weights.items() if name.startswith(HEADS)}


def load_checkpoint(folder: Path | str) -> Glam:
    """Return the model of a checkpoint folder, on the CPU, in eval mode."""
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise ValueError(f"no checkpoint at {folder}: make one with glam-train pretrain or glam-train import-official")
    try:
        config = model_config_from_json(json.loads((folder / "config.json").read_text("utf-8")))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise _unusable(folder, f"config.json does not read ({type(error).__name__}: {error})") from error
    weights = _read_weights(folder)
    model = Glam(config)
    try:
        model.load_state_dict({name: tensor for name, tensor in weights.items() if not name.startswith(HEADS)})
    except RuntimeError as error:
        raise _unusable(folder, "weights.safetensors are not of the model in config.json") from error
    return model.eval()


def _read_weights(folder: Path) -> dict[str, Tensor]:
    try:
        return load_file(folder / "weights.safetensors")
    except (SafetensorError, FileNotFoundError) as error:
        raise _unusable(folder, f"weights.safetensors does not read ({error})") from error


def _unusable(folder: Path, what: str) -> ValueError:
    return ValueError(f"the checkpoint {folder} cannot be used, {what}: copy it again, or make one with glam-train")
