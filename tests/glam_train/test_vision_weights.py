"""Published vision towers: what is read from a file computes what the library that saved it computes."""

import json

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from timm.layers import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer

from glam.model.vision import VisionTower
from glam_train.weights.source import WeightsError
from glam_train.weights.vision import read_vision_weights
from tests.samples.published import GOLDEN, dinov2_pth, efficientnet_pytorch, shaken, timm_folder, vit_folder

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def tower_of(weights):
    tower = VisionTower(weights.config)
    tower.load_state_dict(weights.tensors)
    return tower.eval()


def grey(size):
    return torch.from_numpy(np.random.default_rng(1).random((2, 1, size, size), dtype=np.float32))


def coloured(pixels, mean, std):
    mean, std = (torch.tensor(scale).expand(3)[:, None, None] for scale in (mean, std))
    return (pixels.expand(-1, 3, -1, -1) - mean) / std


def assert_same(features, tokens, *, prefix):
    torch.testing.assert_close(features.cls, tokens[:, 0], rtol=0, atol=1e-5)
    torch.testing.assert_close(features.patches, tokens[:, prefix:], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "prefix", "colours"),
    [
        ("dinov2", 1, IMAGENET),
        ("dinov2_with_registers", 5, IMAGENET),
        ("vit", 1, (0.5, 0.5)),
        ("deit", 2, IMAGENET),
    ],
)
def test_a_folder_of_transformers_computes_what_transformers_does(tmp_path, family, prefix, colours):
    model = vit_folder(tmp_path / family, family, shards=family == "vit")
    weights = read_vision_weights(tmp_path / family, image_size=56)
    with torch.no_grad():
        tokens = model(coloured(grey(56), *colours)).last_hidden_state
        assert_same(tower_of(weights)(grey(56)), tokens, prefix=prefix)
    assert weights.source.layout == f"transformers, {family}"
    assert (weights.config.mean, weights.config.std) == colours


def test_colours_of_a_folder_are_those_of_its_preprocessor(tmp_path):
    vit_folder(tmp_path / "vit", "vit")
    said = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7]}
    (tmp_path / "vit" / "preprocessor_config.json").write_text(json.dumps(said))
    config = read_vision_weights(tmp_path / "vit", image_size=56).config
    assert (config.mean, config.std) == ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))


@pytest.mark.parametrize(("family", "prefix"), [("dinov2", 1), ("dinov2_with_registers", 5)])
def test_the_file_of_dinov2s_authors_computes_what_transformers_does(tmp_path, family, prefix):
    model = vit_folder(tmp_path / family, family)
    dinov2_pth(tmp_path / "dinov2_pretrain.pth", tmp_path / family)
    weights = read_vision_weights(tmp_path / "dinov2_pretrain.pth", image_size=56)
    with torch.no_grad():
        tokens = model(coloured(grey(56), *IMAGENET)).last_hidden_state
        assert_same(tower_of(weights)(grey(56)), tokens, prefix=prefix)
    registers = "with" if prefix == 5 else "without"
    assert weights.source.layout == f"DINOv2 {registers} registers, the authors'"
    assert weights.config.num_registers == prefix - 1


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("vit_tiny_patch16_224", 64, {"img_size": 64}),
        ("deit_tiny_distilled_patch16_224", 64, {"img_size": 64}),
        ("tf_efficientnet_b0", 64, {}),
    ],
)
def test_a_folder_of_timm_computes_what_timm_does(tmp_path, name, size, options):
    model = timm_folder(tmp_path / name, name, **options)
    weights = read_vision_weights(tmp_path / name, image_size=size)
    features = tower_of(weights)(grey(size))
    with torch.no_grad():
        theirs = model.forward_features(coloured(grey(size), model.default_cfg["mean"], model.default_cfg["std"]))
    if name.startswith("tf_"):
        cells = theirs.flatten(2).mT  # (batch, row * col, dim)
        assert (cells[0] - cells[1]).abs().max() > 0.01  # the images are told apart
        torch.testing.assert_close(features.patches, cells, rtol=0, atol=1e-5)
        torch.testing.assert_close(features.cls, theirs.mean(dim=(2, 3)), rtol=0, atol=1e-5)
    else:
        assert_same(features, theirs, prefix=model.num_prefix_tokens)
    assert weights.source.layout == f"timm, {name}"
    assert weights.source.licence == "apache-2.0"


@pytest.mark.parametrize("registers", [0, 4])
@pytest.mark.parametrize("positioned", [True, False])
def test_a_lone_file_of_timm_is_read_by_its_shapes(tmp_path, registers, positioned):
    torch.manual_seed(4)
    model = shaken(
        VisionTransformer(
            img_size=56,
            patch_size=14,
            embed_dim=128,
            depth=2,
            num_heads=2,
            num_classes=0,
            init_values=1e-5 if positioned else None,
            reg_tokens=registers,
            no_embed_class=not positioned,
        )
    )
    save_file(model.state_dict(), tmp_path / "mine.safetensors")
    weights = read_vision_weights(tmp_path / "mine.safetensors", image_size=56)
    with torch.no_grad():
        tokens = model.forward_features(coloured(grey(56), *IMAGENET))
        assert_same(tower_of(weights)(grey(56)), tokens, prefix=1 + registers)


@pytest.mark.parametrize("grid", [(6, 6), (7, 3)])
def test_positions_are_resampled_to_the_grid_of_the_image_as_timm_does(tmp_path, grid):
    model = vit_folder(tmp_path / "d", "dinov2_with_registers")
    weights = read_vision_weights(tmp_path / "d", image_size=(14 * grid[0], 14 * grid[1]))
    positions = model.embeddings.position_embeddings.detach()
    expected = resample_abs_pos_embed(positions, list(grid), num_prefix_tokens=1)[:, 1:]
    torch.testing.assert_close(weights.tensors["vit.pos_embed"], expected)
    timm_folder(tmp_path / "t", "vit_tiny_patch16_224", img_size=64)
    weights = read_vision_weights(tmp_path / "t", image_size=(16 * grid[0], 16 * grid[1]))
    stored = load_file(tmp_path / "t" / "model.safetensors")["pos_embed"]
    torch.testing.assert_close(weights.tensors["vit.pos_embed"], resample_abs_pos_embed(stored, list(grid)))


def test_the_efficientnet_of_mammo_clip_computes_what_efficientnet_pytorch_does(tmp_path):
    path = tmp_path / "b0-model-best-epoch-7.tar"
    weights = {f"image_encoder.{name}": tensor for name, tensor in efficientnet_pytorch().items()}
    torch.save({"model": weights, "config": {"model": {"image_encoder": {"name": "b0"}}}, "epoch": 7}, path)
    read = read_vision_weights(path, image_size=64)
    pixels = torch.from_numpy(np.random.default_rng(1).random((1, 1, 64, 64), dtype=np.float32))
    with torch.no_grad():
        patches = tower_of(read)(pixels).patches[0].numpy()
    np.testing.assert_allclose(patches, np.load(GOLDEN / "patches.npy"), rtol=0, atol=1e-5)
    assert read.source.layout == "Mammo-CLIP, tf_efficientnet_b0"
    assert "BY-NC-SA" in read.source.licence


def test_every_block_of_mammo_clips_b2_and_b5_has_a_place_in_timms():
    from glam_train.weights.mammo_clip import MODELS

    for size in ("b2", "b5"):
        with torch.device("meta"):
            model = timm.create_model(f"tf_efficientnet_{size}", num_classes=0)
        assert MODELS[model.num_features, sum(len(stage) for stage in model.blocks)] == size


def test_a_stem_for_one_channel_is_spread_over_three(tmp_path):
    vit_folder(tmp_path / "d", "dinov2")
    dinov2_pth(tmp_path / "rgb.pth", tmp_path / "d")
    state = torch.load(tmp_path / "rgb.pth", weights_only=True)
    torch.save(state | {"patch_embed.proj.weight": state["patch_embed.proj.weight"][:, :1]}, tmp_path / "grey.pth")
    stem = read_vision_weights(tmp_path / "grey.pth", image_size=56).tensors["vit.patch_embed.proj.weight"]
    torch.testing.assert_close(stem.sum(dim=1), state["patch_embed.proj.weight"][:, 0])
    assert stem.shape[1] == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("blocks.1.norm2.bias"), r"has nothing for vit\.blocks\.1\.norm2\.bias"),
        (lambda state: state.update(extra=torch.zeros(1)), r"has vit\.extra, which the model does not"),
        (
            lambda state: state.update({"blocks.0.mlp.fc1.bias": torch.zeros(3)}),
            r"vit\.blocks\.0\.mlp\.fc1\.bias is \(3,\), not \(512,\)",
        ),
        (lambda state: state.update(pos_embed=torch.zeros(1, 12, 128)), "positions for 11 patches"),
    ],
)
def test_a_key_too_few_too_many_or_of_another_shape_is_named(tmp_path, change, message):
    vit_folder(tmp_path / "d", "dinov2")
    dinov2_pth(tmp_path / "model.pth", tmp_path / "d")
    state = torch.load(tmp_path / "model.pth", weights_only=True)
    change(state)
    torch.save(state, tmp_path / "model.pth")
    with pytest.raises(WeightsError, match=message):
        read_vision_weights(tmp_path / "model.pth", image_size=56)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no file of weights"),
        (b"no weights", "is no file of weights|holds other things than plain tensors"),
        ({"model": 1}, "has model, which is no tensor"),
        ([1, 2], "holds no table of tensors"),
        ({"a": torch.zeros(1)}, "has a ...: no vision tower that is read"),
        ({"code": pytest.raises}, "holds other things than plain tensors, and is not opened"),
    ],
)
def test_a_file_that_is_no_vision_tower_is_refused(tmp_path, content, message):
    path = tmp_path / "model.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(WeightsError, match=message):
        read_vision_weights(path, image_size=56)


def test_an_image_that_the_patches_do_not_fill_is_refused_with_the_size_that_they_would(tmp_path):
    vit_folder(tmp_path / "d", "dinov2")
    with pytest.raises(WeightsError, match=r"patches of 14 px, which do not fill an image of 60 px: .* at 56 px"):
        read_vision_weights(tmp_path / "d", image_size=60)
    with pytest.raises(WeightsError, match=r"do not fill an image of 98 x 60 px: .* at 98 x 56 px"):
        read_vision_weights(tmp_path / "d", image_size=(98, 60))


def test_an_efficientnet_takes_any_size_and_the_last_cells_reach_beyond_it(tmp_path):
    timm_folder(tmp_path / "e", "tf_efficientnet_b0")
    weights = read_vision_weights(tmp_path / "e", image_size=(80, 48))
    assert (weights.config.image_size, weights.config.grid) == ((80, 48), (3, 2))
    with torch.no_grad():
        assert tower_of(weights)(torch.rand(1, 1, 80, 48)).patches.shape == (1, 6, 1280)


def test_a_shard_that_is_not_there_is_named(tmp_path):
    vit_folder(tmp_path / "v", "vit", shards=True)
    shards = sorted((tmp_path / "v").glob("model-*.safetensors"))
    assert len(shards) > 1
    shards[-1].unlink()
    with pytest.raises(WeightsError, match=f"lacks {shards[-1].name}"):
        read_vision_weights(tmp_path / "v", image_size=56)


def test_a_source_holds_the_hash_of_every_file_and_the_licence_that_the_folder_states(tmp_path):
    from hashlib import sha256

    vit_folder(tmp_path / "v", "vit", shards=True)
    (tmp_path / "v" / "README.md").write_text("---\nlanguage: en\nlicense: cc-by-4.0\n---\n# A ViT\nlicense: none\n")
    source = read_vision_weights(tmp_path / "v", image_size=56).source
    for name, digest in source.sha256.items():
        assert sha256((tmp_path / "v" / name).read_bytes()).hexdigest() == digest
    shards = {path.name for path in (tmp_path / "v").glob("*.safetensors")}
    assert source.sha256.keys() == shards | {"config.json", "model.safetensors.index.json"}
    assert (source.name, source.licence) == ("v", "cc-by-4.0")
    (tmp_path / "v" / "README.md").unlink()
    assert read_vision_weights(tmp_path / "v", image_size=56).source.licence is None
    (tmp_path / "v" / "LICENSE").write_text("\n  MIT License\n\nCopyright\n")
    assert read_vision_weights(tmp_path / "v", image_size=56).source.licence == "MIT License"
