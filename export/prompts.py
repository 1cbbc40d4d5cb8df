"""Class vectors of a bundle: the text tower's answer to fixed prompts, so that serving needs no text tower."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from glam.config import TextConfig
from glam.licence import checkpoint_provenance
from glam.model.glam import Glam
from glam.words.labels import DEFAULT_CLASSES, class_names
from glam.words.prompts import class_ensembles
from glam.words.tokens import Tokenizer
from glam.words.wording import STYLES, Style
from glam.zeroshot import unit

Texts = dict[str, tuple[tuple[str, ...], ...]]
"""Task -> class -> texts."""
TASKS: tuple[Literal["birads", "density", "mass"], ...] = ("birads", "density", "mass")


@dataclass(frozen=True, kw_only=True)
class ClassPrompts:
    """The prompts of every task, with the vectors the text tower makes of them."""

    classes: dict[str, tuple[str, ...]]
    texts: Texts
    vectors: dict[str, np.ndarray]
    """Task -> (class, joint) float32, unit length."""
    key: str
    """SHA-256 of what the vectors depend on: the text tower's weights, the tokenizer, the texts."""


def style_of_reports(checkpoint: Path, config: TextConfig) -> Style:
    """Return the style of the reports that a checkpoint was trained on, which its provenance says.

    ValueError for one that there is not. Checkpoints of before, and imported ones, do not say: the released code's have
    its template, and ours the style glam.
    """
    said = (checkpoint_provenance(checkpoint) or {}).get("report_style")
    if said is None:
        return "papers" if config.wrap_tokens else "glam"
    if said not in STYLES:
        raise ValueError(
            f"{checkpoint} was trained on reports in a style {said!r}: expected one of {', '.join(STYLES)}"
        )
    return said


def embed_class_prompts(model: Glam, config: TextConfig, tokenizer_json: Path, style: Style) -> ClassPrompts:
    """Embed the prompts of all tasks, in a style: that of the reports the model was trained on."""
    texts: Texts = {task: class_ensembles(task, style=style) for task in TASKS}
    tokenizer = Tokenizer.from_file(tokenizer_json)
    return ClassPrompts(
        classes={task: class_names(DEFAULT_CLASSES[task]) for task in TASKS},
        texts=texts,
        vectors={task: _embed(model, tokenizer, classes, config.max_tokens) for task, classes in texts.items()},
        key=prompts_key(model, tokenizer_json, texts),
    )


def prompts_key(model: Glam, tokenizer_json: Path, texts: Texts) -> str:
    """Return the SHA-256 over the text tower's weights, the tokenizer and the texts."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if name.startswith("text"):  # the tower and its projection
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    digest.update(tokenizer_json.read_bytes())
    digest.update(json.dumps(texts, sort_keys=True).encode())
    return digest.hexdigest()


@torch.inference_mode()
def _embed(model: Glam, tokenizer: Tokenizer, classes: tuple[tuple[str, ...], ...], max_tokens: int) -> np.ndarray:
    """Return the mean vector of each class's texts, of unit length: (class, joint)."""
    means = []
    for texts in classes:
        tokens = tokenizer.encode(texts, max_tokens=max_tokens)
        vectors = model.embed_text(torch.from_numpy(tokens.ids), torch.from_numpy(tokens.mask))  # (text, joint)
        means.append(vectors.mean(dim=0).numpy())
    return unit(np.stack(means))
