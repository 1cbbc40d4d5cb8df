import json
import math
import os

import numpy as np
import pytest
import torch
from torch import nn

from glam.config import (
    AlignmentConfig,
    FrameConfig,
    ModelConfig,
    TextConfig,
    VisionConfig,
    model_config_from_json,
)
from glam.model.checkpoint import load_checkpoint, load_heads, save_checkpoint
from glam.model.glam import Glam
from glam.model.torch_runtime import TorchRuntime

BATCH = 3


def small_config(**changes) -> ModelConfig:
    parts = {"alignment": AlignmentConfig(side=3, pooling_heads=2, slice_heads=2)} | changes
    return ModelConfig(
        vision=VisionConfig(image_size=84, embed_dim=16, depth=1, num_heads=2, num_registers=1, stem="conv"),
        text=TextConfig(
            vocab_size=30, hidden_dim=12, depth=1, num_heads=2, ffn_dim=16, max_positions=10, max_tokens=10
        ),
        frame=FrameConfig(size=84),
        joint_dim=8,
        **parts,
    )


def small_model(**changes) -> Glam:
    """A model in which every part matters: nothing is at an initial value that mutes it."""
    torch.manual_seed(0)
    model = Glam(small_config(**changes)).eval()
    for name, parameter in model.named_parameters():
        if parameter.ndim:
            nn.init.normal_(parameter, mean=float(name.endswith("gamma")), std=0.3)
    return model


def pairs(seed: int = 1) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    cc, mlo = torch.rand(2, BATCH, 1, 84, 84, generator=generator)
    token_ids = torch.randint(1, 30, (BATCH, 6), generator=generator)
    mask = torch.ones_like(token_ids)
    mask[0, 4:] = 0
    return cc, mlo, token_ids, mask


def test_a_pair_is_two_views_embedded_alone_and_then_aligned():
    model = small_model()
    cc, mlo, token_ids, mask = pairs()
    with torch.no_grad():
        output = model(cc, mlo, token_ids, mask)
        alone_cc, alone_mlo = model.vision(cc), model.vision(mlo)
        assert torch.allclose(output.image_cc, model.embed_view(alone_cc), atol=1e-6)
        assert torch.allclose(output.image_mlo, model.embed_view(alone_mlo), atol=1e-6)
        assert torch.allclose(output.text, model.embed_text(token_ids, mask), atol=1e-6)
        expected = model.align(alone_cc.patches, alone_mlo.patches)
    for ours, theirs in zip(output.alignment, expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_a_batch_equals_its_pairs_one_by_one():
    model, batch = small_model(), pairs()
    with torch.no_grad():
        together = model(*batch)
        for index in range(BATCH):
            alone = model(*(tensor[index : index + 1] for tensor in batch))
            for name in ("image_cc", "image_mlo", "text"):
                assert torch.allclose(getattr(together, name)[index], getattr(alone, name)[0], atol=1e-5)
            assert torch.allclose(together.alignment.cc_to_mlo[index], alone.alignment.cc_to_mlo[0], atol=1e-5)


def test_embeddings_have_unit_length_in_fp32_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        output = small_model()(*pairs())
    for vectors in (output.image_cc, output.image_mlo, output.text, output.alignment.aligned_cc):
        assert vectors.dtype == torch.float32
        assert torch.allclose(vectors.norm(dim=-1), torch.ones(()), atol=1e-5)


def test_every_parameter_gets_a_gradient():
    model = small_model().train()
    output = model(*pairs())
    weights = torch.Generator().manual_seed(2)
    vectors = (output.image_cc, output.image_mlo, output.text, *output.alignment[:4])
    loss = sum((vector * torch.randn(vector.shape, generator=weights)).sum() for vector in vectors)
    (loss * output.scales.image_text * output.scales.local * output.scales.view).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_a_model_without_an_alignment_module_embeds_and_refuses_to_align():
    model = small_model(alignment=None)
    with torch.no_grad():
        output = model(*pairs())
    assert output.alignment is None
    assert torch.allclose(output.image_cc.norm(dim=-1), torch.ones(()), atol=1e-5)
    with pytest.raises(ValueError, match="trained without an alignment module"):
        model.align(torch.zeros(1, 36, 16), torch.zeros(1, 36, 16))


def test_a_view_can_be_embedded_by_the_mean_of_its_patches():
    model = small_model(image_pool="mean")
    features = model.vision(pairs()[0])
    expected = torch.nn.functional.normalize(model.image_projection(features.patches.mean(dim=1)), dim=-1)
    assert torch.allclose(model.embed_view(features), expected, atol=1e-6)


def test_a_view_can_be_embedded_by_the_mean_of_all_its_tokens_which_each_view_of_a_pair_keeps():
    model, (cc, mlo, *_) = small_model(image_pool="all_tokens"), pairs()
    of_cc, of_mlo = model.view_features(cc, mlo)
    for view, features in ((cc, of_cc), (mlo, of_mlo)):
        pooled = model.vision(view).all_tokens
        assert torch.allclose(features.all_tokens, pooled, atol=1e-5)
        expected = torch.nn.functional.normalize(model.image_projection(pooled), dim=-1)
        assert torch.allclose(model.embed_view(features), expected, atol=1e-5)


def test_both_projections_may_have_a_hidden_layer():
    model, views = small_model(projection_hidden=5), torch.rand(2, 1, 84, 84)
    for projection, width in ((model.image_projection, 16), (model.text_projection, 12)):
        states = torch.rand(3, width)
        first, last = projection[0], projection[2]
        expected = (states @ first.weight.mT + first.bias).clamp(min=0) @ last.weight.mT + last.bias
        torch.testing.assert_close(projection(states), expected)
        assert (first.out_features, last.out_features) == (5, 8)
    assert model.embed_view(model.vision(views)).shape == (2, 8)
    assert isinstance(small_model().image_projection, nn.Linear)
    assert model_config_from_json(model.config.as_json()) == model.config


def test_what_only_training_uses_is_saved_beside_the_model_and_left_out_when_it_is_loaded(tmp_path):
    save_checkpoint(small_model(), tmp_path, "{}", heads={"head.weight": torch.arange(3.0)})
    assert load_heads(tmp_path)["head.weight"].tolist() == [0, 1, 2]
    assert not [name for name in load_checkpoint(tmp_path).state_dict() if "head" in name]


def test_scales_start_at_the_published_temperature():
    assert [scale.item() for scale in small_model().scales()] == pytest.approx([1 / 0.07] * 3)


def test_scales_are_bounded_and_come_back_from_beyond_the_bound():
    model = small_model()
    with torch.no_grad():
        model.logit_scale.fill_(math.log(1000))
    assert model.scales().image_text.item() == pytest.approx(100)
    model.bound_scales()
    assert model.logit_scale.item() == pytest.approx(math.log(100))
    model.scales().image_text.backward()
    assert model.logit_scale.grad.item() == pytest.approx(100)  # at the bound the gradient still flows


def test_the_released_code_bounds_no_scale():
    model = small_model(max_scale=None)
    with torch.no_grad():
        model.local_scale.fill_(math.log(1000))
    model.bound_scales()
    assert model.scales().local.item() == pytest.approx(1000)


def test_text_pooling_follows_the_config():
    config = small_config()
    model = small_model()
    _, _, token_ids, mask = pairs()
    mean = Glam(ModelConfig(**(vars(config) | {"text": TextConfig(**(vars(config.text) | {"pool": "mean"}))})))
    mean.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert not torch.allclose(model.embed_text(token_ids, mask), mean.eval().embed_text(token_ids, mask), atol=0.01)


def test_a_checkpoint_loads_to_the_same_model_and_brings_its_tokenizer(tmp_path):
    model = small_model()
    save_checkpoint(model, tmp_path / "run" / "last", '{"model": {}}')
    loaded = load_checkpoint(tmp_path / "run" / "last")
    assert loaded.config == model.config
    assert not loaded.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name])
    names = sorted(path.name for path in (tmp_path / "run" / "last").iterdir())
    assert names == ["config.json", "tokenizer.json", "weights.safetensors"]
    assert json.loads((tmp_path / "run" / "last" / "tokenizer.json").read_text()) == {"model": {}}


def test_saving_over_a_checkpoint_replaces_it_and_keeps_what_lies_beside(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    save_checkpoint(small_model(), tmp_path, tmp_path / "tokenizer.json")
    (tmp_path / "state").mkdir()
    changed = small_model()
    with torch.no_grad():
        changed.logit_scale.fill_(1.0)
    save_checkpoint(changed, tmp_path, tmp_path / "tokenizer.json")
    assert load_checkpoint(tmp_path).logit_scale.item() == 1.0
    assert (tmp_path / "state").is_dir()


def test_whoever_may_read_the_settings_of_a_checkpoint_may_read_its_weights(tmp_path):
    save_checkpoint(small_model(), tmp_path, "{}")
    assert len({path.stat().st_mode for path in tmp_path.iterdir()}) == 1


def test_a_save_that_fails_leaves_the_checkpoint_there_was(tmp_path, monkeypatch):
    save_checkpoint(small_model(), tmp_path, "{}")
    changed = small_model()
    with torch.no_grad():
        changed.logit_scale.fill_(1.0)

    def full_disk(descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        save_checkpoint(changed, tmp_path, "{}")
    assert load_checkpoint(tmp_path).logit_scale.item() == pytest.approx(math.log(1 / 0.07))


def test_a_folder_that_is_no_checkpoint_is_named_with_the_way_out(tmp_path):
    with pytest.raises(ValueError, match=r"no checkpoint at .*: make one with glam-train"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("name", "damage", "complaint"),
    [
        ("weights.safetensors", lambda data: data[:100], "weights.safetensors does not read"),
        ("config.json", lambda data: b"{", "config.json does not read"),
        ("config.json", lambda data: b"[]", "config.json does not read"),
        ("config.json", lambda data: data.replace(b'"joint_dim"', b'"flavour"'), "config.json does not read"),
        ("config.json", lambda data: b'{"joint_dim": 24, ' + json_without(data, "joint_dim"), "are not of the model"),
    ],
)
def test_a_damaged_checkpoint_is_named_with_the_way_out(tmp_path, name, damage, complaint):
    save_checkpoint(small_model(), tmp_path, "{}")
    (tmp_path / name).write_bytes(damage((tmp_path / name).read_bytes()))
    with pytest.raises(ValueError, match=complaint) as caught:
        load_checkpoint(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "copy it again, or make one with glam-train" in str(caught.value)


def test_a_checkpoint_without_weights_is_named(tmp_path):
    save_checkpoint(small_model(), tmp_path, "{}")
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(ValueError, match=r"weights.safetensors does not read"):
        load_checkpoint(tmp_path)


def json_without(data: bytes, key: str) -> bytes:
    """The inside of a JSON object less one key, without the opening brace."""
    return json.dumps({name: value for name, value in json.loads(data).items() if name != key}).encode()[1:]


def test_torch_runtime_gives_the_arrays_of_the_model(tmp_path):
    model = small_model()
    save_checkpoint(model, tmp_path, "{}")
    cc, mlo, token_ids, mask = pairs()
    with torch.no_grad():
        output = model(cc, mlo, token_ids, mask)
    for runtime in (TorchRuntime(model), TorchRuntime(tmp_path)):
        seen_cc, seen_mlo = runtime.vision(cc.numpy()), runtime.vision(mlo.numpy())
        assert np.allclose(seen_cc.embedding, output.image_cc, atol=1e-6)
        maps = runtime.align(seen_cc.patches, seen_mlo.patches)
        for name, array in maps._asdict().items():
            assert np.allclose(array, getattr(output.alignment, name), atol=1e-6)
        assert np.allclose(runtime.text(token_ids.numpy(), mask.numpy()), output.text, atol=1e-6)
