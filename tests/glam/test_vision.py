import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from glam.config import VisionConfig
from glam.model.vision import ConvStem, VisionTower


def small_tower(**changes) -> VisionTower:
    """A tower whose blocks matter: random LayerScale gains in place of 1e-5 (or whatever the config says)."""
    sizes = {"image_size": 42, "embed_dim": 24, "depth": 2, "num_heads": 3, "num_registers": 2} | changes
    torch.manual_seed(0)
    tower = VisionTower(VisionConfig(**sizes)).eval()
    for name, parameter in tower.named_parameters():
        if name.endswith("gamma") or "token" in name:
            nn.init.normal_(parameter, mean=0.5, std=0.3)
    return tower


@pytest.mark.parametrize("stem", ["linear", "conv"])
def test_a_view_gives_its_class_token_and_a_grid_of_patches(stem):
    tower = small_tower(stem=stem)
    features = tower(torch.rand(2, 1, 42, 42))
    assert features.cls.shape == (2, 24)
    assert features.patches.shape == (2, 9, 24)
    assert tower.grid == (3, 3)


def test_grey_is_normalised_and_repeated_and_registers_are_left_out():
    tower, pixels = small_tower(mean=0.4, std=0.2), torch.rand(1, 1, 42, 42)
    tokens = tower.vit.forward_features(((pixels - 0.4) / 0.2).repeat(1, 3, 1, 1))
    features = tower(pixels)
    assert torch.equal(features.cls, tokens[:, 0])
    assert torch.equal(features.patches, tokens[:, 3:])


@torch.no_grad()
def test_all_tokens_are_class_registers_and_patches_before_the_last_norm():
    tower, pixels = small_tower(mean=0.4, std=0.2), torch.rand(2, 1, 42, 42)
    nn.init.normal_(tower.vit.norm.weight)
    normed = tower(pixels)
    tower.vit.norm = nn.Identity()
    raw = tower.vit.forward_features(((pixels - 0.4) / 0.2).repeat(1, 3, 1, 1))
    assert raw.shape[1] == 1 + 2 + 9
    torch.testing.assert_close(normed.all_tokens, raw.mean(dim=1), rtol=0, atol=1e-6)
    assert (normed.patches - raw[:, 3:]).abs().max() > 0.1


@pytest.mark.parametrize("stem", ["linear", "conv"])
def test_patches_are_row_major(stem):
    tower = small_tower(stem=stem)
    dark, bright = torch.zeros(1, tower.vit.in_chans, 42, 42), torch.zeros(1, tower.vit.in_chans, 42, 42)
    bright[:, :, 4:10, 32:38] = 1.0  # inside row 0, col 2
    with torch.no_grad():
        change = (tower.vit.patch_embed(bright) - tower.vit.patch_embed(dark)).abs().sum(dim=2)
    assert change.argmax() == 2


def test_conv_stem_shows_a_patch_its_neighbours_and_none_beyond():
    torch.manual_seed(0)
    stem = ConvStem(img_size=70, in_chans=1, embed_dim=8)
    stem.norm = nn.Identity()  # its statistics are those of the whole image
    dark, bright = torch.zeros(1, 1, 70, 70), torch.zeros(1, 1, 70, 70)
    bright[:, :, 5, 5] = 1.0  # inside row 0, col 0
    with torch.no_grad():
        changed = (stem(bright) - stem(dark)).abs().sum(dim=2).unflatten(1, (5, 5))[0] > 0
    assert changed[:2, :2].all()
    assert not changed[2:].any()
    assert not changed[:, 2:].any()


def test_conv_stem_refuses_other_patches():
    with pytest.raises(ValueError, match="14 px, not patch_size 16"):
        VisionTower(VisionConfig(image_size=32, patch_size=16, stem="conv"))


def test_views_do_not_see_each_other():
    tower, pixels = small_tower(stem="conv"), torch.rand(3, 1, 42, 42)
    with torch.no_grad():
        together, alone = tower(pixels).patches, torch.cat([tower(view.unsqueeze(0)).patches for view in pixels])
    assert torch.allclose(together, alone, atol=1e-5)


def test_blocks_matter_at_the_layer_scale_of_the_config():
    assert small_tower(layer_scale=0.5).vit.blocks[0].ls1.gamma.shape == (24,)
    fresh = VisionTower(VisionConfig(image_size=42, embed_dim=24, depth=1, num_heads=3, layer_scale=0.25))
    assert torch.equal(fresh.vit.blocks[0].ls1.gamma.detach(), torch.full((24,), 0.25))


def test_a_timm_model_can_take_the_place_of_the_sizes():
    tower = VisionTower(VisionConfig(image_size=32, patch_size=16, timm_name="vit_tiny_patch16_224"))
    assert isinstance(tower.vit, VisionTransformer)
    assert tower.dim == 192
    assert tower(torch.rand(1, 1, 32, 32)).patches.shape == (1, 4, 192)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vit_tiny_patch16_224", "makes 9 patches of a 56 px image, patch_size 14 makes 16"),
        ("vit_pwee_patch16_reg1_gap_256", "no class token"),
        ("resnet18", "none of timm's vision transformers"),
    ],
)
def test_a_timm_model_that_does_not_fit_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        VisionTower(VisionConfig(image_size=56, timm_name=name))
