"""Import of a Lightning checkpoint of the released code (XYPB/GLAM b863b78) into a checkpoint folder."""

import math
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from glam.config import AlignmentConfig, FrameConfig, ModelConfig, TextConfig, VisionConfig
from glam.files import file_sha256
from glam.licence import write_provenance
from glam.model.checkpoint import HEADS, save_checkpoint
from glam.model.glam import Glam
from glam.words.tokens import Tokenizer, from_vocab
from glam_train.methods.heads import ViewProjection
from glam_train.weights.fit import resample_positions

Weights = dict[str, Tensor]

VISION = "img_encoder_q.model."
TEXT = "text_encoder_q.model."
HEAD = f"{HEADS}view_head."
NAMES = {
    "img_encoder_q.model.register_tokens": "vision.vit.reg_token",
    "img_encoder_q.model.": "vision.vit.",
    "img_encoder_q.global_embed.": "image_projection.",
    "text_encoder_q.model.": "text.bert.",
    "text_encoder_q.global_embed.": "text_projection.",
    "merge_patch1.attn.": "alignment.pool_cc.attention.attn.",
    "merge_patch1.": "alignment.pool_cc.",
    "merge_patch2.attn.": "alignment.pool_mlo.attention.attn.",
    "merge_patch2.": "alignment.pool_mlo.",
    "patch_ln.": "alignment.norm.",
    "view_attn1.": "alignment.cc_to_mlo.attention.attn.",
    "view_attn2.": "alignment.mlo_to_cc.attention.attn.",
    "simclr_proj.layers.0.": HEAD + "hidden.",
    "simclr_proj.layers.1.": HEAD + "hidden_norm.",
    "simclr_proj.layers.3.": HEAD + "out.",
    "simclr_proj.layers.4.": HEAD + "out_norm.",
    "logit_scale": "logit_scale",
    "patch_scale": "local_scale",
}
"""Released name or beginning of one -> ours; the first that fits is taken."""
NEVER_USED = re.compile(
    r"img_encoder_q\.model\.mask_token"
    r"|text_encoder_q\.model\.embeddings\.position_ids"
    r"|text_encoder_q\.model\.encoder\.layer\.\d+\.crossattention\..*"
    r"|text_encoder_q\.local_embed\..*"
)
"""Weights of the released file that the released GLAM never computes with."""
OTHER_MODELS = ("pool_feat", "pool_txt_feat", "all_patch_contrast")
"""Settings of the released code that make a different model; its GLAM has them off."""
UNKNOWN_DATA = "a checkpoint of the released code: the file does not say what it was trained on (the authors': EMBED)"
HEAD_WIDTH = 64
"""Of an attention head in every DINOv2 and every BERT that was published."""
VIEW_TEMPERATURE = 0.5  # of NT-Xent; fixed, so that it is not in the file


class Imported(NamedTuple):
    """The content of a checkpoint folder."""

    model: Glam
    heads: Weights
    """Of the method glam_official."""
    tokenizer: Tokenizer


def write_imported(imported: Imported, folder: Path, *, checkpoint: Path) -> None:
    """Write the checkpoint folder of an imported model, with the provenance of a file of unknown licence."""
    save_checkpoint(imported.model, folder, imported.tokenizer.backend.to_str(), heads=imported.heads)
    data = {"kind": "imported", "sha256": file_sha256(checkpoint), "what": UNKNOWN_DATA}
    write_provenance(folder, {"data": data, "synthetic": False, "licence": None, "method": {"name": "glam_official"}})


def check_new(folder: Path) -> None:
    """Raise ValueError for a folder to write that holds something, before anything is read."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise ValueError(f"{folder} is there already, and is not overwritten: give a new --out")


def import_official(
    checkpoint: Path, *, tokenizer: Path, vision_heads: int, text_heads: int, image_size: int | None = None
) -> Imported:
    """Return the model and the tokenizer of a released checkpoint, in eval mode.

    Every key of the file is either mapped or listed in `NEVER_USED`; any other, a missing one, a shape that does not
    fit and a vocabulary of another size are ValueErrors.
    """
    weights, settings = _read(checkpoint)
    size: int = image_size or settings.get("crop_size") or _stored_image_size(weights)
    config = ModelConfig(
        vision=_vision_config(weights, heads=vision_heads, image_size=size),
        text=_text_config(weights, heads=text_heads, max_tokens=settings.get("max_words", 144)),
        alignment=_alignment_config(weights, slice_heads=settings.get("num_heads", 4)),
        frame=FrameConfig(size=size, kind="stretch", align_mlo=settings.get("aligned_mlo", True), mask_muscle=False),
        joint_dim=_shape(weights, "img_encoder_q.global_embed.weight")[0],
        max_scale=None,
    )
    vocabulary = from_vocab(tokenizer, lower_case=config.text.lower_case)
    if vocabulary.vocab_size != config.text.vocab_size:
        raise ValueError(
            f"{tokenizer} has {vocabulary.vocab_size} tokens with [BOS], [EOS] and [KEY], the checkpoint "
            f"{config.text.vocab_size}: it is not the vocabulary of its training"
        )
    model = Glam(config)
    heads = _load(model, _translate(weights, grid=config.vision.grid))
    return Imported(model.eval(), heads, vocabulary)


def _read(checkpoint: Path) -> tuple[Weights, dict[str, Any]]:
    """Return weights in fp32 (the released recipe stores bf16) and the settings of the run."""
    if not checkpoint.is_file():
        raise ValueError(f"no checkpoint file at {checkpoint}")
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises nothing narrower for bytes that it did not write
        reason = str(error).splitlines()[-1] if str(error) else "the file is empty"
        raise ValueError(f"{checkpoint} is no checkpoint of plain tensors: {reason}") from error
    if not isinstance(content, dict) or not isinstance(content.get("state_dict"), dict):
        raise ValueError(f"{checkpoint} has no state_dict: it is no Lightning checkpoint")
    settings = content.get("hyper_parameters", {})
    if not isinstance(settings, dict):
        raise ValueError(f"{checkpoint} has hyper_parameters that are no dictionary: it is no Lightning checkpoint")
    if other := [name for name, value in content["state_dict"].items() if not isinstance(value, Tensor)]:
        raise ValueError(f"{checkpoint} has {other[0]}, which is no tensor: it is not of the released GLAM")
    if used := [name for name in OTHER_MODELS if settings.get(name)]:
        raise ValueError(f"{checkpoint} was trained with {', '.join(used)}, which GLAM does not use: not supported")
    weights = content["state_dict"].items()
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in weights}, settings


def _vision_config(weights: Weights, *, heads: int, image_size: int) -> VisionConfig:
    embed_dim, _, patch_size, _ = _shape(weights, VISION + "patch_embed.proj.weight", axes=4)
    _check_heads("--vision-heads", heads, width=embed_dim)
    return VisionConfig(
        image_size=image_size,
        patch_size=patch_size,
        embed_dim=embed_dim,
        depth=_count(weights, VISION + "blocks."),
        num_heads=heads,
        num_registers=_shape(weights, VISION + "register_tokens")[1],
    )


def _text_config(weights: Weights, *, heads: int, max_tokens: int) -> TextConfig:
    vocab_size, hidden_dim = _shape(weights, TEXT + "embeddings.word_embeddings.weight", axes=2)
    max_positions = _shape(weights, TEXT + "embeddings.position_embeddings.weight")[0]
    _check_heads("--text-heads", heads, width=hidden_dim)
    return TextConfig(
        vocab_size=vocab_size,
        hidden_dim=hidden_dim,
        depth=_count(weights, TEXT + "encoder.layer."),
        num_heads=heads,
        ffn_dim=_shape(weights, TEXT + "encoder.layer.0.intermediate.dense.weight")[0],
        max_positions=max_positions,
        max_tokens=min(max_tokens, max_positions),
        position_ids="official_zero",
        wrap_tokens=True,
        dropout=0.1,
    )


def _check_heads(option: str, heads: int, *, width: int) -> None:
    """Refuse heads that do not divide a tower's width, and say where they are not as wide as in DINOv2 and BERT."""
    usual = width // HEAD_WIDTH
    if width % heads:
        told = f", such as {usual}" if usual and width % HEAD_WIDTH == 0 else ""
        raise ValueError(f"{option} is {heads}, the tower is {width} wide: give a number that divides it{told}")
    if width != heads * HEAD_WIDTH:
        sys.stderr.write(
            f"{option} {heads} makes heads of {width // heads}; those of DINOv2 and BERT are {HEAD_WIDTH} wide. The "
            "file does not tell: with another number than in its training, the model is wrong without a word\n"
        )


def _alignment_config(weights: Weights, *, slice_heads: int) -> AlignmentConfig:
    num_regions = _shape(weights, "merge_patch1.query")[0]
    side = math.isqrt(num_regions)
    if side**2 != num_regions:
        raise ValueError(f"merge_patch1.query has {num_regions} regions, which is no square")
    return AlignmentConfig(side=side, pooling="free", pooling_heads=8, slice_heads=slice_heads, values="projected")


def _stored_image_size(weights: Weights) -> int:
    num_positions = _shape(weights, VISION + "pos_embed")[1] - 1
    return math.isqrt(num_positions) * _shape(weights, VISION + "patch_embed.proj.weight")[-1]


def _translate(weights: Weights, *, grid: tuple[int, int]) -> Weights:
    """Return the weights under our names; the position of CLS goes into CLS, the others are brought to the grid."""
    ours = {_our_name(name): tensor for name, tensor in weights.items() if not NEVER_USED.fullmatch(name)}
    position = ours["vision.vit.pos_embed"]  # (1, 1 + patch, dim)
    ours["vision.vit.cls_token"] = ours["vision.vit.cls_token"] + position[:, :1]
    ours["vision.vit.pos_embed"] = resample_positions(position[:, 1:], grid)
    words = ours["text.bert.embeddings.word_embeddings.weight"]
    ours["text.bert.embeddings.token_type_embeddings.weight"] = words.new_zeros(2, words.shape[1])
    ours["view_scale"] = torch.tensor(math.log(1 / VIEW_TEMPERATURE))
    return ours


def _our_name(name: str) -> str:
    for theirs, ours in NAMES.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    raise ValueError(f"the checkpoint has {name}, which the released GLAM does not: another model or another version")


def _load(model: Glam, weights: Weights) -> Weights:
    """Load the model, and return the heads."""
    head = ViewProjection(model.vision.dim, model.config.joint_dim).state_dict()
    expected = model.state_dict() | {HEAD + name: tensor for name, tensor in head.items()}
    if missing := sorted(expected.keys() - weights.keys()):
        raise ValueError(f"the checkpoint has nothing for {', '.join(missing)}")
    if unknown := sorted(weights.keys() - expected.keys()):
        raise ValueError(f"the checkpoint has {', '.join(unknown)}, which the released GLAM does not")
    for name, tensor in weights.items():
        if tensor.shape != expected[name].shape:
            raise ValueError(f"{name} is {tuple(tensor.shape)} in the checkpoint, not {tuple(expected[name].shape)}")
    model.load_state_dict({name: tensor for name, tensor in weights.items() if not name.startswith(HEADS)})
    return {name.removeprefix(HEADS): tensor for name, tensor in weights.items() if name.startswith(HEADS)}


def _shape(weights: Weights, name: str, *, axes: int | None = None) -> tuple[int, ...]:
    if name not in weights:
        raise ValueError(f"the checkpoint has no {name}: it is not of the released GLAM")
    shape = tuple(weights[name].shape)
    if axes is not None and len(shape) != axes:
        raise ValueError(f"{name} is {shape} in the checkpoint, not of {axes} axes: it is not of the released GLAM")
    return shape


def _count(weights: Weights, prefix: str) -> int:
    """Count the numbers that follow `prefix`."""
    return len({name.removeprefix(prefix).split(".")[0] for name in weights if name.startswith(prefix)})
