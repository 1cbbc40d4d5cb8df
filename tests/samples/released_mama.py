"""The golden set of the released MaMA (XYPB/MaMA 0ca3a9e): its model under our names, and what its code made of it.

`tests/golden/mama.npz` has its text tower, reports and class prompts, what its towers and heads gave, and every loss
with its logits. The whole set, with the images, all weights and all gradients, is too large for the repository: it is
looked for in `shared/golden/mama_tiny_252` beside it.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from glam.config import FrameConfig, ModelConfig, TextConfig, VisionConfig
from glam.model.checkpoint import HEADS
from glam.model.glam import Glam
from glam_train.config import PretrainConfig, changed_config
from glam_train.data.batches import Batch
from glam_train.methods import build_method
from glam_train.methods.method import Learner
from glam_train.presets import preset

GOLDEN = Path(__file__).parents[1] / "golden" / "mama.npz"
WHOLE = next(
    (found for above in Path(__file__).parents if (found := above / "shared" / "golden" / "mama_tiny_252").is_dir()),
    None,
)
"""None: there is none here."""
needs_whole = pytest.mark.skipif(WHOLE is None, reason="no golden set of the released MaMA beside the repository")
SEPARATOR, PADDING = 603, 601
TEXT = TextConfig(
    vocab_size=606,
    hidden_dim=64,
    depth=2,
    num_heads=4,
    ffn_dim=256,
    max_positions=160,
    max_tokens=144,
    pool="padding",
    pad_id=PADDING,
    architecture={
        "model_type": "gpt2",
        "vocab_size": 606,
        "n_embd": 64,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 160,
        "bos_token_id": 600,
        "eos_token_id": 0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "resid_pdrop": 0.0,
    },
    lora_rank=8,
    lora_alpha=32,
    lora_dropout=0.0,
)
MODEL = ModelConfig(
    vision=VisionConfig(image_size=252, embed_dim=96, depth=3, num_heads=6),
    text=TEXT,
    alignment=None,
    frame=FrameConfig(size=252, kind="stretch", align_mlo=False, mask_muscle=False),
    joint_dim=64,
    max_scale=None,
    image_pool="all_tokens",
)
_LOCAL = {"head.0.": "hidden.", "head.1.": "hidden_norm.", "head.3.": "out.", "head.4.": "out_norm."}
_VIEW = {"layers.0.": "hidden.", "layers.1.": "hidden_norm.", "layers.3.": "out.", "layers.4.": "out_norm."}
NAMES = {
    "img_encoder_q.model.register_tokens": "vision.vit.reg_token",
    "img_encoder_q.model.": "vision.vit.",
    "img_encoder_q.global_embed.": "image_projection.",
    "text_encoder_q.global_embed.": "text_projection.",
    "text_encoder_q.model.base_model.model.": "text.",
    **{f"img_encoder_q.local_embed.{theirs}": f"{HEADS}patch_head.{ours}" for theirs, ours in _LOCAL.items()},
    **{f"text_encoder_q.local_embed.{theirs}": f"{HEADS}sentence_head.{ours}" for theirs, ours in _LOCAL.items()},
    **{f"simclr_proj.{theirs}": f"{HEADS}view_head.{ours}" for theirs, ours in _VIEW.items()},
    "logit_scale": "logit_scale",
    "local_scale": "local_scale",
}


def our_name(name: str) -> str:
    """Return our name of a released weight."""
    theirs = next(theirs for theirs in NAMES if name.startswith(theirs))
    return NAMES[theirs] + name.removeprefix(theirs)


def golden_arrays() -> dict[str, torch.Tensor]:
    """Return what the repository keeps; numbers of tokens as int64."""
    arrays = _arrays(GOLDEN)
    return {name: array.long() if array.dtype == torch.int16 else array for name, array in arrays.items()}


def whole_arrays() -> dict[str, torch.Tensor]:
    """Return what the released code took and made, and the gradient of each weight as "grad.NAME"."""
    assert WHOLE is not None
    gradients = {f"grad.{name}": array for name, array in _arrays(WHOLE / "grads.npz").items()}
    return _arrays(WHOLE / "golden.npz") | gradients


def golden_config(**changes: object) -> PretrainConfig:
    """Return the preset mama-official with the golden model, in fp32."""
    config = changed_config(preset("mama-official"), {"precision": "fp32", **changes})
    return changed_config(config, {"model": MODEL.as_json()})


def golden_learner(**changes: object) -> Learner:
    """Return a model with the released text tower and temperatures, all else random, and random heads, in eval mode."""
    torch.manual_seed(0)
    config = golden_config(**changes)
    model = Glam(config.model)
    weights = {name.removeprefix("weight."): array for name, array in _arrays(GOLDEN).items()}
    ours = _our_weights({name: array for name, array in weights.items() if name.startswith(("text", "logit", "local"))})
    assert not model.load_state_dict(ours, strict=False).unexpected_keys
    return _learner(model, config)


def whole_learner(**changes: object) -> Learner:
    """Return the released model and its heads as training would start from them, in eval mode."""
    assert WHOLE is not None
    config = golden_config(**changes)
    model = Glam(config.model)
    weights = _our_weights(torch.load(WHOLE / "official.ckpt", map_location="cpu", weights_only=True)["state_dict"])
    kept = {"view_scale": model.view_scale.detach()}  # there is none in the released code
    model.load_state_dict({name: tensor for name, tensor in weights.items() if not name.startswith(HEADS)} | kept)
    learner = _learner(model, config)
    heads = {name.removeprefix(HEADS): tensor for name, tensor in weights.items() if name.startswith(HEADS)}
    learner.load_heads(heads)
    return learner


def golden_batch(golden: dict[str, torch.Tensor]) -> Batch:
    """Return the golden images and reports."""
    views = [(golden[name].float() / 255).unsqueeze(1) for name in ("imgs_u8", "ext_imgs_u8")]
    ids = golden["caption_ids"]
    no_places = torch.zeros(len(ids), 0, 2, 2), torch.zeros(len(ids), 0, dtype=torch.int64)
    return Batch(*views, ids, golden["attention_mask"], *no_places, ids == SEPARATOR)


def on_our_grid(positions: torch.Tensor) -> torch.Tensor:
    """Return the positions of 37 x 37 patches for 18 x 18: (1, patch, dim)."""
    grid = positions.mT.unflatten(2, (37, 37))  # (1, dim, row, col)
    return interpolate(grid, size=(18, 18), mode="bicubic", antialias=True).flatten(2).mT


def _learner(model: Glam, config: PretrainConfig) -> Learner:
    learner = Learner(model, build_method(config, model))
    learner.method.prepare(model)
    return learner.eval()


def _arrays(path: Path) -> dict[str, torch.Tensor]:
    with np.load(path) as file:
        return {name: torch.from_numpy(array) for name, array in file.items()}


def _our_weights(released: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return released weights under our names, as our layers have them."""
    weights = {our_name(name): tensor for name, tensor in released.items() if not name.endswith("mask_token")}
    for name in _ending(weights, "hidden.weight", "out.weight"):
        weights[name] = weights[name].flatten(1)  # convolutions of one token are linear layers
    for name in _ending(weights, "pos_embed"):
        position = weights[name]
        weights["vision.vit.cls_token"] = weights["vision.vit.cls_token"] + position[:, :1]
        weights[name] = on_our_grid(position[:, 1:])
    adapted = [name.removesuffix("lora_A.default.weight") for name in _ending(weights, "lora_A.default.weight")]
    for layer in adapted:  # peft's layers hold what they stand beside as their base
        for part in ("weight", "bias"):
            weights[f"{layer}base_layer.{part}"] = weights.pop(f"{layer}{part}")
    return weights


def _ending(names: Iterable[str], *ends: str) -> list[str]:
    return [name for name in names if name.endswith(ends)]


def assert_close(ours: torch.Tensor, theirs: torch.Tensor, relative: float = 1e-5) -> None:
    """Assert that nothing differs by more than `relative` of the largest value."""
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= relative * theirs.abs().max()


def assert_loss(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)


def assert_terms(terms: dict, golden: dict, mode: str) -> None:
    def expected(*names: str) -> torch.Tensor:
        return sum(golden[f"{mode}.loss.{name}"] for name in names)

    assert_loss(terms["image_text"], expected("i2t", "t2i"))
    assert_loss(terms["view"], expected("simclr"))
    assert_loss(terms["other_image_text"], expected("ext_i2t", "ext_t2i"))
    assert_loss(terms["local"], expected("sla_t2i_0", "sla_t2i_1", "sla_i2t_0", "sla_i2t_1"))
    assert_loss(terms["total"], expected("total"))
