"""The preset for one small GPU: its sizes, and the arithmetic of memory in its docstring."""

import re
from dataclasses import replace

import pytest
import torch

from glam.config import ModelConfig
from glam.model.glam import Glam
from glam_train.methods import build_method
from glam_train.presets import PRESETS, preset

BYTES = 16
"""Of a trained number: weight, gradient and both moments of AdamW, in fp32."""


def test_it_is_glam_with_a_smaller_tower_and_the_same_pairs_an_update():
    small, glam = preset("glam-small"), preset("glam")
    vision = small.model.vision
    assert (vision.embed_dim, vision.depth, vision.num_heads, vision.num_registers) == (384, 12, 6, 4)  # DINOv2 ViT-S
    assert (vision.patch_size, vision.grid) == (14, (27, 27))
    assert small.model.alignment == glam.model.alignment
    assert vision.grid[0] % small.model.alignment.side == 0
    assert (small.batch_size, small.pairs_per_update) == (8, glam.pairs_per_update)
    assert small.starts_from == "DINOv2 ViT-S/14 with registers, and BioClinicalBERT"
    same = replace(small, model=glam.model, starts_from=glam.starts_from, batch_size=36, accumulate=4)
    assert same == glam


@pytest.mark.slow
def test_what_its_docstring_says_of_memory_is_what_is_counted():
    states, pair, total = (said_before(after) for after in ("their bf16", r"\(counted", "for 8"))
    config = preset("glam-small")
    with torch.device("meta"):
        model = Glam(config.model)
        method = build_method(config, model)
    count = sum(parameter.numel() for part in (model, method) for parameter in part.parameters())
    assert f"{count / 1e6:.0f} million parameters" in told()
    kept = kept_of_a_pair(config.model)
    assert BYTES * count / 1e9 == pytest.approx(states, abs=0.05)
    assert kept / 1e9 == pytest.approx(pair, abs=0.01)
    needed = BYTES * count + 2 * count + config.batch_size * kept
    assert needed / 1e9 == pytest.approx(total, abs=0.1)
    assert needed < 0.7 * 8e9


def said_before(words: str) -> float:
    """The gigabytes that the docstring says before some words."""
    found = re.search(rf"([\d.]+) GB,? {words}", told())
    assert found is not None
    return float(found[1])


def told() -> str:
    return " ".join((PRESETS["glam-small"].__doc__ or "").split())


def kept_of_a_pair(config: ModelConfig) -> float:
    """Bytes of activations that are kept of a pair: blocks are alike, so that one and two of them tell of twelve."""
    kept = {(depth, pairs): kept_bytes(config, depth, pairs) for depth in (1, 2) for pairs in (1, 2)}
    of_one, of_two = (kept[depth, 2] - kept[depth, 1] for depth in (1, 2))
    return of_one + (config.vision.depth - 1) * (of_two - of_one)


def kept_bytes(config: ModelConfig, depth: int, pairs: int) -> int:
    """Bytes that autograd keeps of so many pairs, weights left out, in towers of so many blocks."""
    torch.manual_seed(0)
    sizes = {"vision": replace(config.vision, depth=depth), "text": replace(config.text, depth=depth)}
    model = Glam(replace(config, **sizes)).train()
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        place = tensor.untyped_storage().data_ptr()
        if place not in weights:
            kept[place] = tensor  # held, so that no other tensor takes its place
        return tensor

    cc, mlo = torch.rand(2, pairs, 1, config.frame.height, config.frame.width)
    tokens = torch.randint(0, 1000, (pairs, config.text.max_tokens))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), torch.autocast("cpu", torch.bfloat16):
        model(cc, mlo, tokens, torch.ones_like(tokens))
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
