"""The released checkpoint, imported, must give what the released code gave (tests/golden; XYPB/GLAM b863b78)."""

import math
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from glam.config import AlignmentConfig, FrameConfig, ModelConfig, TextConfig, VisionConfig
from glam.model.alignment import Alignment, columns
from glam.model.checkpoint import HEADS, load_checkpoint, load_heads
from glam.model.glam import Glam, Scales
from glam_train.commands import ImportOfficial
from glam_train.data.batches import Batch
from glam_train.methods import build_method
from glam_train.methods.aligned import PairFeatures
from glam_train.methods.heads import ViewProjection
from glam_train.methods.losses import (
    nt_xent,
    official_image_text_loss,
    official_local_loss,
    same_position_loss,
    within_image_loss,
)
from glam_train.methods.method import Learner
from glam_train.official import NAMES, _our_name, import_official
from glam_train.presets import preset

GOLDEN = Path(__file__).parents[1] / "golden"
HOOKED = (
    "vision.vit.norm",
    "text",
    "image_projection",
    "text_projection",
    "alignment.pool_cc",
    "alignment.pool_mlo",
    "alignment.norm",
    "alignment.cc_to_mlo",
    "alignment.mlo_to_cc",
)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "golden.npz") as file:
        return {name: torch.from_numpy(array) for name, array in file.items()}


@pytest.fixture
def learner():
    return official_learner()


@pytest.fixture(scope="module")
def seen(golden):
    """What every named module gave in eval mode, and the output of the model."""
    learner, outputs = official_learner(), {}
    model = learner.model
    for name in HOOKED:
        module = model.get_submodule(name)
        module.register_forward_hook(lambda _, inputs, out, name=name: outputs.setdefault(name, []).append(out))
    norm = model.get_submodule("vision.vit.norm")
    norm.register_forward_hook(lambda _, inputs, out: outputs.setdefault("prenorm", []).append(inputs[0]))
    with torch.no_grad():
        output = pair_output(learner, golden)
    return outputs | {"output": output, "model": model}


def import_golden():
    return import_official(GOLDEN / "official.ckpt", tokenizer=GOLDEN / "vocab.txt", vision_heads=6, text_heads=4)


def official_learner() -> Learner:
    """The imported model with its heads, as training would start from it, in eval mode."""
    imported = import_golden()
    config = replace(preset("glam-official"), model=imported.model.config)
    learner = Learner(imported.model, build_method(config, imported.model))
    learner.load_heads(imported.heads)
    return learner.eval()


class Output(NamedTuple):
    """What the losses use of the golden batch, and the maps."""

    features: PairFeatures
    alignment: Alignment
    scales: Scales


def pair_output(learner: Learner, golden: dict) -> Output:
    cc, mlo = ((golden[name].float() / 255).unsqueeze(1) for name in ("imgs_u8", "ext_imgs_u8"))
    places = torch.zeros(len(cc), 0, 2, 2), torch.zeros(len(cc), 0, dtype=torch.int64)
    batch = Batch(cc, mlo, golden["caption_ids"], golden["attention_mask"], *places, torch.zeros(len(cc), 0))
    kept: list[Alignment] = []
    hook = learner.model.alignment.register_forward_hook(lambda _, inputs, out: kept.append(out))
    features = learner.method.features(learner.model, batch)
    hook.remove()
    return Output(features, kept[0], learner.model.scales())


def assert_close(actual: torch.Tensor, expected: torch.Tensor, *, relative: float = 1e-5) -> None:
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= relative * expected.abs().max()


def assert_loss(actual: torch.Tensor, expected: torch.Tensor) -> None:
    assert actual.item() == pytest.approx(expected.item(), rel=1e-5)


def columns_first(matrix: torch.Tensor) -> torch.Tensor:
    """Reorder the regions of axes 1 and 2 from row-major to the released code's column-major."""
    grid = matrix.unflatten(2, (4, 4)).unflatten(1, (4, 4))
    return grid.transpose(1, 2).transpose(3, 4).flatten(3).flatten(1, 2)


def test_vision_tokens_agree_before_and_after_the_last_norm(seen, golden):
    for view in range(2):
        rows = slice(6 * view, 6 * view + 6)
        tokens = seen["vision.vit.norm"][0][rows]
        assert_close(tokens[:, 0], golden[f"eval.vision.{view}.0"])
        assert_close(tokens[:, 5:], golden[f"eval.vision.{view}.1"])
        assert_close(seen["prenorm"][0][rows], golden[f"eval.vision.{view}.2"])


def test_text_states_agree(seen, golden):
    tokens = seen["text"][0].tokens
    assert_close(tokens[:, 0], golden["eval.text.0.0"])
    assert_close(tokens[:, 1:], golden["eval.text.0.1"])


def test_embeddings_agree(seen, golden):
    output = seen["output"].features
    assert_close(seen["image_projection"][0], golden["eval.img_proj.0.0"])
    assert_close(seen["text_projection"][0], golden["eval.txt_proj.0.0"])
    assert_close(output.image_cc, golden["img_emb_cc"])
    assert_close(output.image_mlo, golden["img_emb_mlo"])
    assert_close(output.text, golden["text_emb"])
    assert_close(output.view_mlo, golden["eval.simclr_proj.0.0"])
    assert_close(output.view_cc, golden["eval.simclr_proj.1.0"])


def test_regions_and_where_they_were_pooled_from_agree(seen, golden):
    alignment = seen["output"].alignment
    assert_close(seen["alignment.pool_cc"][0].vectors, golden["eval.merge_patch1.0.0"])
    assert_close(seen["alignment.pool_mlo"][0].vectors, golden["eval.merge_patch2.0.0"])
    assert_close(alignment.pooling_cc, golden["pooler_attn1"])
    assert_close(alignment.pooling_mlo, golden["pooler_attn2"])
    for view, regions in enumerate(seen["alignment.norm"]):
        assert_close(columns(regions, 4), golden[f"eval.patch_ln.{view}.0"])


def test_slice_attention_agrees(seen, golden):
    alignment = seen["output"].alignment
    assert_close(columns(seen["alignment.cc_to_mlo"][0].aligned, 4), golden["eval.view_attn1.0.0"])
    assert_close(columns(seen["alignment.mlo_to_cc"][0].aligned, 4), golden["eval.view_attn2.0.0"])
    assert_close(alignment.cc_to_mlo.flatten(0, 1), golden["eval.view_attn1.0.1"])
    assert_close(alignment.mlo_to_cc.flatten(0, 1), golden["eval.view_attn2.0.1"])


def test_image_text_and_view_logits_agree(seen, golden):
    output, scales = seen["output"].features, seen["output"].scales
    with torch.no_grad():
        image_text = scales.image_text * output.image_cc @ output.text.mT
    assert_close(image_text, golden["eval.logits.i2t"])
    assert_close(image_text.mT, golden["eval.logits.t2i"])
    mlo, cc = (torch.nn.functional.normalize(view, dim=-1) for view in (output.view_mlo, output.view_cc))
    others = ~torch.eye(6, dtype=torch.bool)
    for own, other, expected in ((mlo, cc, slice(6)), (cc, mlo, slice(6, 12))):
        same_view = (own @ own.mT)[others].unflatten(0, (6, 5))
        assert_close(torch.cat([own @ other.mT, same_view], dim=1) / 0.5, golden["eval.logits.simclr"][expected])


@pytest.mark.parametrize(("view", "name"), [(1, "cc"), (2, "mlo")])
def test_local_logits_agree(seen, golden, view, name):
    alignment, scale = seen["output"].alignment, seen["output"].scales.local.detach()
    regions, aligned = getattr(alignment, f"regions_{name}"), getattr(alignment, f"aligned_{name}")
    within = columns_first(scale * torch.einsum("bqd,bkd->bqk", regions, aligned))
    assert_close(within.flatten(0, 1), golden[f"eval.logits.patch_v{view}_q2p"])
    assert_close(within.mT.flatten(0, 1), golden[f"eval.logits.patch_v{view}_p2q"])
    across = scale * torch.einsum("brd,crd->rbc", regions, aligned)
    across = across.unflatten(0, (4, 4)).transpose(0, 1).flatten(0, 1)
    assert_close(across.flatten(0, 1), golden[f"eval.logits.pos_v{view}_q2p"])
    assert_close(across.mT.flatten(0, 1), golden[f"eval.logits.pos_v{view}_p2q"])


def official_terms(output: Output) -> dict[str, torch.Tensor]:
    features = output.features
    return {
        "image_text": official_image_text_loss(features.image_cc, features.text, output.scales.image_text),
        "view": nt_xent(features.view_cc, features.view_mlo),
        "local": official_local_loss(*features.local, output.scales.local),
    }


def assert_official_losses(output: Output, golden: dict, mode: str) -> None:
    def expected(*names: str) -> torch.Tensor:
        return sum(golden[f"{mode}.loss.{name}"] for name in names)

    terms, alignment = official_terms(output), output.alignment
    assert_loss(terms["image_text"], expected("i2t", "t2i"))
    assert_loss(terms["view"], expected("simclr"))
    assert_loss(terms["view"], golden[f"{mode}.simclr_loss"])
    for view, name in ((1, "cc"), (2, "mlo")):
        vectors = getattr(alignment, f"regions_{name}"), getattr(alignment, f"aligned_{name}")
        within, across = (loss(*vectors, output.scales.local) for loss in (within_image_loss, same_position_loss))
        assert_loss(2 * within, expected(f"patch_v{view}_q2p", f"patch_v{view}_p2q"))
        assert_loss(2 * across, expected(f"pos_v{view}_q2p", f"pos_v{view}_p2q"))
    assert_loss(terms["local"], golden[f"{mode}.patch_contrast_loss"] + golden[f"{mode}.patch_pos_contrast_loss"])
    assert_loss(sum(terms.values()), expected("total"))


def test_losses_agree_in_eval_mode(seen, golden):
    assert_official_losses(seen["output"], golden, "eval")


def test_losses_and_gradients_agree_in_train_mode(learner, golden):
    learner.method.train()  # the golden set has no dropout: only BatchNorm differs
    output = pair_output(learner, golden)
    # The norm of six vectors magnifies rounding.
    assert_close(output.features.view_mlo, golden["train.simclr_proj.0.0"], relative=5e-5)
    assert_close(output.features.view_cc, golden["train.simclr_proj.1.0"], relative=5e-5)
    assert_official_losses(output, golden, "train")
    terms = learner.method.terms(output.features, output.scales, 0)
    assert_loss(terms["total"], sum(official_terms(output).values()))
    terms["total"].backward()
    parameters = dict(learner.model.named_parameters())
    parameters |= {HEADS + name: parameter for name, parameter in learner.method.named_parameters()}
    names = [name.removeprefix("grad.") for name in golden if name.startswith("grad.")]
    assert len(names) > 70
    for name in names:
        ours, theirs = parameters[_our_name(name)].grad, golden[f"grad.{name}"]
        assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max() + 1e-7  # a key's bias has none but rounding


def test_zero_shot_probabilities_agree(seen, golden):
    model = seen["model"]
    with torch.no_grad():
        ids, mask = golden["zs.caption_ids"].flatten(0, 1), golden["zs.attention_mask"].flatten(0, 1)
        prompts = model.embed_text(ids, mask).unflatten(0, (6, 3))  # (image, class, joint)
        cosine = torch.einsum("bd,bkd->bk", seen["output"].features.image_cc, prompts)
        assert_close((model.scales().image_text * cosine).softmax(dim=1), golden["zs.probs"])


def test_proper_positions_give_what_the_released_code_meant(seen, golden):
    bert = seen["model"].text.bert
    with torch.no_grad():
        states = bert(input_ids=golden["caption_ids"], attention_mask=golden["attention_mask"])
    assert_close(states.last_hidden_state[:, 0], golden["text_cls_with_true_positions"])


def test_command_writes_a_folder_that_loads_to_the_same_model_and_heads(tmp_path, learner):
    ImportOfficial(
        checkpoint=GOLDEN / "official.ckpt",
        tokenizer=GOLDEN / "vocab.txt",
        vision_heads=6,
        text_heads=4,
        out=tmp_path / "glam",
    ).run()
    loaded = load_checkpoint(tmp_path / "glam")
    assert loaded.config == learner.model.config
    assert loaded.config.frame == FrameConfig(size=252, kind="stretch", mask_muscle=False)
    assert loaded.config.text.position_ids == "official_zero"
    for name, tensor in learner.model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name])
    heads = load_heads(tmp_path / "glam")
    assert heads.keys() == learner.method.state_dict().keys()
    assert all(torch.equal(tensor, heads[name]) for name, tensor in learner.method.state_dict().items())
    assert (tmp_path / "glam" / "tokenizer.json").stat().st_size > 1000


def released_weights(model: Glam, *, num_positions: int) -> dict[str, torch.Tensor]:
    """The weights of a model and its head under the released names, with what else such a file holds."""
    theirs = {ours: name for name, ours in reversed(NAMES.items())}
    head = ViewProjection(model.vision.dim, model.config.joint_dim).state_dict()
    weights = {}
    for name, tensor in (model.state_dict() | {f"{HEADS}view_head.{name}": head[name] for name in head}).items():
        beginning = next((ours for ours in sorted(theirs, key=len, reverse=True) if name.startswith(ours)), None)
        if beginning is not None and "token_type" not in name:
            weights[theirs[beginning] + name.removeprefix(beginning)] = tensor.clone()
    width = model.vision.dim
    cls_position = torch.randn(1, 1, width)
    vision = "img_encoder_q.model."
    weights[vision + "cls_token"] -= cls_position
    weights[vision + "pos_embed"] = torch.cat([cls_position, weights[vision + "pos_embed"]], dim=1)
    assert weights[vision + "pos_embed"].shape[1] == num_positions
    return weights | {
        vision + "mask_token": torch.zeros(1, width),
        "text_encoder_q.model.embeddings.position_ids": torch.arange(160).unsqueeze(0),
        "text_encoder_q.model.encoder.layer.0.crossattention.self.key.bias": torch.zeros(32),
        "text_encoder_q.local_embed.head.0.weight": torch.zeros(8, 32, 1),
    }


def small_official(**vision) -> ModelConfig:
    sizes = {"image_size": 518, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_registers": 2} | vision
    return ModelConfig(
        vision=VisionConfig(**sizes),
        text=TextConfig(
            vocab_size=420, hidden_dim=32, depth=1, num_heads=2, ffn_dim=40, max_positions=160,
            position_ids="official_zero", wrap_tokens=True, dropout=0.1,
        ),
        alignment=AlignmentConfig(pooling="free", values="projected"),
        frame=FrameConfig(size=sizes["image_size"], kind="stretch", mask_muscle=False),
        joint_dim=16,
        max_scale=None,
    )  # fmt: skip


@pytest.fixture
def released_518(tmp_path):
    """A model of other sizes at 518 px, and the path of its weights as the released code would store them."""
    torch.manual_seed(0)
    model = Glam(small_official()).eval()
    with torch.no_grad():
        model.text.bert.embeddings.token_type_embeddings.weight.zero_()
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter) if parameter.ndim else 0.0
        model.text.bert.embeddings.token_type_embeddings.weight.zero_()
        model.view_scale.fill_(math.log(2))
    path = tmp_path / "released.ckpt"
    torch.save({"state_dict": released_weights(model, num_positions=1370)}, path)
    return model, path


def import_small(path: Path, **settings):
    settings = {"tokenizer": GOLDEN / "vocab.txt", "vision_heads": 3, "text_heads": 2} | settings
    return import_official(path, **settings)


def test_sizes_are_taken_from_the_file_and_518_px_is_its_default(released_518):
    model, path = released_518
    imported = import_small(path).model
    assert imported.config == small_official()
    assert imported.config.alignment.side == 9
    pixels = torch.rand(1, 1, 518, 518)
    with torch.no_grad():
        ours, theirs = model.vision(pixels), imported.vision(pixels)
    assert_close(theirs.patches, ours.patches)
    assert_close(theirs.cls, ours.cls)


def test_image_size_resamples_the_position_embedding(released_518):
    model, path = released_518
    imported = import_small(path, image_size=252).model
    assert imported.vision.grid == (18, 18)
    grid = model.vision.vit.pos_embed.detach().mT.unflatten(2, (37, 37))
    expected = torch.nn.functional.interpolate(grid, size=(18, 18), mode="bicubic", antialias=True)
    assert torch.equal(imported.vision.vit.pos_embed.detach(), expected.flatten(2).mT)


def test_weights_stored_in_bf16_are_brought_to_fp32(released_518):
    _, path = released_518
    content = torch.load(path, weights_only=True)
    halves = {name: tensor.bfloat16() if tensor.is_floating_point() else tensor
              for name, tensor in content["state_dict"].items()}  # fmt: skip
    torch.save({"state_dict": halves}, path)
    imported = import_small(path).model
    assert {parameter.dtype for parameter in imported.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("img_encoder_q.model.unheard_of", (1,), "the checkpoint has vision.vit.unheard_of"),
        ("momentum_encoder.weight", (1,), "the checkpoint has momentum_encoder.weight"),
        ("patch_ln.bias", None, "nothing for alignment.norm.bias"),
        ("merge_patch1.query", None, "the checkpoint has no merge_patch1.query"),
        ("merge_patch1.query", (80, 48), "80 regions, which is no square"),
        ("view_attn1.in_proj_bias", (7,), "alignment.cc_to_mlo.attention.attn.in_proj_bias is"),
    ],
)
def test_a_key_too_many_too_few_or_of_another_shape_is_named(released_518, name, shape, message):
    _, path = released_518
    weights = torch.load(path, weights_only=True)["state_dict"]
    weights.pop(name, None)
    if shape is not None:
        weights[name] = torch.zeros(shape)
    torch.save({"state_dict": weights}, path)
    with pytest.raises(ValueError, match=message):
        import_small(path)


def test_vocabulary_of_another_size_is_refused(released_518, tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    with pytest.raises(ValueError, match=r"has 8 tokens .* the checkpoint 420"):
        import_small(released_518[1], tokenizer=tmp_path / "vocab.txt")


def test_a_run_that_pooled_patches_into_the_image_feature_is_refused(released_518):
    _, path = released_518
    content = torch.load(path, weights_only=True)
    torch.save(content | {"hyper_parameters": {"pool_feat": True}}, path)
    with pytest.raises(ValueError, match="pool_feat"):
        import_small(path)


def test_a_file_that_holds_code_is_refused_and_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "was_run",)

    torch.save({"state_dict": Trap()}, tmp_path / "trap.ckpt")
    with pytest.raises(ValueError, match="no checkpoint of plain tensors"):
        import_small(tmp_path / "trap.ckpt")
    assert not (tmp_path / "was_run").exists()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no checkpoint file at .*gone\.ckpt"):
        import_small(tmp_path / "gone.ckpt")
