"""Class vectors of a bundle: the text tower's answer to fixed prompts, so that serving needs no text tower."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from glam.config import TextConfig
from glam.labels import DEFAULT_CLASSES, class_names
from glam.model import Glam
from glam.report import class_prompts
from glam.tokens import Tokenizer

TASKS: tuple[Literal["birads", "density", "mass"], ...] = ("birads", "density", "mass")


@dataclass(frozen=True, kw_only=True)
class ClassPrompts:
    """The prompts of every task, with the vectors the text tower makes of them."""

    classes: dict[str, tuple[str, ...]]
    texts: dict[str, tuple[str, ...]]
    vectors: dict[str, np.ndarray]
    """Task -> (class, joint) float32, unit length."""
    key: str
    """SHA-256 of what the vectors depend on: the text tower's weights, the tokenizer, the texts."""


def embed_class_prompts(model: Glam, config: TextConfig, tokenizer_json: Path) -> ClassPrompts:
    """Embed the prompts of all tasks, in the words of the reports the model was trained on."""
    style = "papers" if config.wrap_tokens else "glam"
    texts = {task: class_prompts(task, style=style) for task in TASKS}
    tokenizer = Tokenizer.from_file(tokenizer_json)
    return ClassPrompts(
        classes={task: class_names(DEFAULT_CLASSES[task]) for task in TASKS},
        texts=texts,
        vectors={task: _embed(model, tokenizer, prompts, config.max_tokens) for task, prompts in texts.items()},
        key=prompts_key(model, tokenizer_json, texts),
    )


def prompts_key(model: Glam, tokenizer_json: Path, texts: dict[str, tuple[str, ...]]) -> str:
    """Return the SHA-256 over the text tower's weights, the tokenizer and the texts."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if name.startswith("text"):  # the tower and its projection
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    digest.update(tokenizer_json.read_bytes())
    digest.update(json.dumps(texts, sort_keys=True).encode())
    return digest.hexdigest()


@torch.inference_mode()
def _embed(model: Glam, tokenizer: Tokenizer, texts: tuple[str, ...], max_tokens: int) -> np.ndarray:
    tokens = tokenizer.encode(texts, max_tokens=max_tokens)
    return model.embed_text(torch.from_numpy(tokens.ids), torch.from_numpy(tokens.mask)).numpy()
