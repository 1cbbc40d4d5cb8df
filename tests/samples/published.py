"""Published weights in miniature: random towers, saved in the layouts that others publish theirs in."""

import json
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

GOLDEN = Path(__file__).parents[1] / "golden" / "efficientnet_pytorch_b0"
Model = TypeVar("Model", bound=nn.Module)
SENTENCES = (
    "An oval mass lies in the upper outer quadrant of the left breast.",
    "There is a round mass in the left breast.",
    "No suspicious calcification is seen.",
)


def shaken(model: Model, seed: int = 0) -> Model:
    """The model in eval mode with every tensor moved, so that no part of it stays what it starts as."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                spread = float(tensor.std()) if tensor.numel() > 1 else 0.0  # 0: a norm or a bias, as it starts
                tensor.add_(0.1 * (spread or 1.0) * torch.randn(tensor.shape, generator=generator))
    return model.eval()


def vit_folder(folder: Path, family: str, *, heads: int = 2, shards: bool = False) -> nn.Module:
    """Save a vision transformer of transformers, 4 x 4 patches of 14 px, and return it."""
    import transformers

    kinds = {"dinov2": "Dinov2", "dinov2_with_registers": "Dinov2WithRegisters", "vit": "ViT", "deit": "DeiT"}
    settings = getattr(transformers, f"{kinds[family]}Config")(
        hidden_size=128, num_hidden_layers=2, num_attention_heads=heads, image_size=56, patch_size=14
    )
    if family in ("vit", "deit"):
        settings.intermediate_size = 512
    torch.manual_seed(1)
    model = shaken(getattr(transformers, f"{kinds[family]}Model")(settings))
    model.save_pretrained(folder, max_shard_size="400KB" if shards else "5GB")
    return model


def dinov2_pth(path: Path, folder: Path) -> None:
    """Save the Dinov2 of a folder of transformers under the names of DINOv2's authors."""
    state, ours = load_file(folder / "model.safetensors"), {}
    stem = {
        "embeddings.cls_token": "cls_token",
        "embeddings.mask_token": "mask_token",
        "embeddings.register_tokens": "register_tokens",
        "embeddings.position_embeddings": "pos_embed",
        "embeddings.patch_embeddings.projection.weight": "patch_embed.proj.weight",
        "embeddings.patch_embeddings.projection.bias": "patch_embed.proj.bias",
        "layernorm.weight": "norm.weight",
        "layernorm.bias": "norm.bias",
    }
    ours |= {theirs: state[name] for name, theirs in stem.items() if name in state}
    for index in range(2):
        layer, block = f"encoder.layer.{index}.", f"blocks.{index}."
        for kind in ("weight", "bias"):
            parts = [state[f"{layer}attention.attention.{part}.{kind}"] for part in ("query", "key", "value")]
            ours[f"{block}attn.qkv.{kind}"] = torch.cat(parts)
            ours[f"{block}attn.proj.{kind}"] = state[f"{layer}attention.output.dense.{kind}"]
            for part in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
                ours[f"{block}{part}.{kind}"] = state[f"{layer}{part}.{kind}"]
        for number in "12":
            ours[f"{block}ls{number}.gamma"] = state[f"{layer}layer_scale{number}.lambda1"]
    torch.save(ours, path)


def timm_folder(folder: Path, name: str, **options: object) -> nn.Module:
    """Save a timm model as timm's own hub folders hold it, with its classifier, and return it."""
    import timm

    torch.manual_seed(2)
    model = shaken(timm.create_model(name, num_classes=3, **options))
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)  # as a fresh EfficientNet has them, every image looks alike
    folder.mkdir(parents=True)
    colours = {"mean": model.default_cfg["mean"], "std": model.default_cfg["std"], "license": "apache-2.0"}
    said = {"architecture": name, "num_classes": 3, "pretrained_cfg": colours}
    (folder / "config.json").write_text(json.dumps(said))
    save_file({key: tensor.contiguous() for key, tensor in model.state_dict().items()}, folder / "model.safetensors")
    return model


def efficientnet_pytorch() -> dict[str, torch.Tensor]:
    """Weights for the names and shapes of EfficientNet-PyTorch 0.7.1's b0, drawn as for the golden file.

    `tests/golden/efficientnet_pytorch_b0/patches.npy` is what that package makes of them and of a seeded image.
    """
    shapes, rng = json.loads((GOLDEN / "shapes.json").read_text()), np.random.default_rng(0)
    weights = {}
    for name in sorted(shapes):
        values = rng.standard_normal(shapes[name])
        if name.endswith("num_batches_tracked"):
            values = np.zeros(shapes[name])
        elif name.endswith("running_var"):
            values = 1 + 0.1 * np.abs(values)
        elif len(shapes[name]) >= 2:
            values = values * (2 / np.prod(shapes[name][1:])) ** 0.5
        elif name.split(".")[-2].startswith("_bn") and name.endswith("weight"):
            values = 1 + 0.1 * values
        else:
            values = 0.1 * values
        kind = torch.int64 if name.endswith("tracked") else torch.float32
        weights[name] = torch.from_numpy(np.asarray(values)).to(kind)
    return weights


def language_model(folder: Path, family: str) -> nn.Module:
    """Save a language model of transformers with a tokenizer that knows `SENTENCES`, and return it."""
    import transformers

    words = byte_pairs(folder, family) if family != "bert" else word_pieces(folder)
    small = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 96}
    sizes = {
        "bert": small | {"max_position_embeddings": 64},
        "roberta": small | {"max_position_embeddings": 66, "pad_token_id": 1},
        "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 64, "bos_token_id": 0, "eos_token_id": 0},
        "llama": small | {"num_key_value_heads": 1, "max_position_embeddings": 64, "pad_token_id": None},
    }
    settings = transformers.AutoConfig.for_model(family, vocab_size=words, **sizes[family])
    torch.manual_seed(3)
    model = shaken(transformers.AutoModel.from_config(settings, attn_implementation="eager"))
    model.save_pretrained(folder)
    return model


def word_pieces(folder: Path) -> int:
    """Save the vocab.txt of a BERT and return its length."""
    folder.mkdir(parents=True, exist_ok=True)
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "##s"]
    words = sorted({word.strip(".").lower() for text in SENTENCES for word in text.split()})
    (folder / "vocab.txt").write_text("\n".join([*marks, *words]) + "\n")
    return len(marks) + len(words)


def byte_pairs(folder: Path, family: str) -> int:
    """Save the tokenizer.json of a GPT-2, Llama or RoBERTa and return the number of its tokens."""
    import tokenizers

    folder.mkdir(parents=True, exist_ok=True)
    special = {"gpt2": ["<|endoftext|>"], "llama": ["<unk>", "<s>", "</s>"], "roberta": ["<s>", "<pad>", "</s>"]}
    words = tokenizers.Tokenizer(tokenizers.models.BPE())
    words.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=special[family],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator(SENTENCES, trainer)
    ends = {"gpt2": None, "llama": "<s> $A", "roberta": "<s> $A </s>"}[family]
    if ends is not None:
        named = [(token, words.token_to_id(token)) for token in special[family]]
        words.post_processor = tokenizers.processors.TemplateProcessing(single=ends, special_tokens=named)
    words.save(str(folder / "tokenizer.json"))
    return words.get_vocab_size()
