"""Tokens against transformers' BertTokenizer and the released code, and the edges of the vocabulary."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from glam.words.facts import Lesion, ReportFacts
from glam.words.report import report_text
from glam.words.tokens import CORE, RELEASED, Tokenizer, from_vocab, train_wordpiece

GOLDEN = json.loads(Path(__file__).parents[1].joinpath("golden", "captions.json").read_text(encoding="utf-8"))
TEXTS = [
    report_text(ReportFacts(birads=1, density="a", age=57)),
    report_text(ReportFacts(birads=0, lesions=(Lesion(kind="mass", shape="oval", size_mm=12),))),
]
HARD = [
    "",
    "   ",
    "A\tround\n mass \x00 of 12.5mm, (BI-RADS 4)!",
    "Äther naïve ÉCART \u4e2d\u6587",
    "[SEP] [sep] [CLS]round[SEP]oval [MASK]",
    "x" * 101,
    "mammogramm's under_score re-check\u2014dash \u201cquotes\u201d",
    "I\u0307stanbul \ufb01ne \u00df",
]


@pytest.fixture(scope="module")
def vocab_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    path.write_text("\n".join(GOLDEN["vocab"]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def released(vocab_file):
    return from_vocab(vocab_file)


@pytest.fixture(scope="module")
def trained():
    return train_wordpiece(TEXTS)


def row(tokenizer, text, **options):
    return tokenizer.encode([text], **{"max_tokens": 512, **options}).ids[0].tolist()


def test_wrapped_training_text_has_the_released_ids(released):
    text = report_text(ReportFacts(**GOLDEN["train_tokens"]["facts"]), style="papers")
    assert row(released, text, wrap=True) == GOLDEN["train_tokens"]["ids"]


@pytest.mark.parametrize("lower_case", [True, False])
def test_ids_equal_those_of_transformers_bert_tokenizer(vocab_file, lower_case):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.BertTokenizer(str(vocab_file), do_lower_case=lower_case)
    ours = from_vocab(vocab_file, lower_case=lower_case, extra=())
    for text in [*HARD, *GOLDEN["captions"].values()]:
        assert row(ours, text) == theirs(text)["input_ids"], text


def test_extra_tokens_follow_the_vocabulary_and_mean_themselves(released):
    size = len(GOLDEN["vocab"])
    assert [released.token_id(token) for token in RELEASED] == [size, size + 1, size + 2]
    assert released.vocab_size == size + 3
    assert row(released, "[KEY] round")[1] == size + 2


def test_a_line_separator_inside_a_token_shifts_no_id(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*CORE, "a\u2028b", "round", ""]), encoding="utf-8")
    assert from_vocab(path).token_id("round") == 6


def test_separator_inside_a_text_is_the_special_token(released):
    sep = released.token_id("[SEP]")
    assert row(released, "this [SEP] breast").count(sep) == 2
    assert row(released, "this [sep] breast").count(sep) == 1


def test_texts_are_padded_to_the_longest_and_masked(trained):
    tokens = trained.encode(["a mass", "a mass is present"], max_tokens=144)
    assert tokens.ids.shape == (2, 6)
    assert tokens.mask.tolist() == [[1, 1, 1, 1, 0, 0], [1] * 6]
    assert tokens.ids[0, 4:].tolist() == [trained.token_id("[PAD]")] * 2
    assert tokens.ids.dtype == tokens.mask.dtype == "int64"


def test_what_is_too_long_is_cut_and_keeps_its_last_separator(trained):
    whole, cut = row(trained, TEXTS[0]), row(trained, TEXTS[0], max_tokens=20)
    assert len(cut) == 20
    assert cut[:-1] == whole[:19]
    assert cut[-1] == trained.token_id("[SEP]")


def test_cut_wrapped_text_loses_its_end_token_as_the_released_code_does(trained):
    cut = row(trained, TEXTS[0], max_tokens=20, wrap=True)
    assert cut[1] == trained.token_id("[BOS]")
    assert trained.token_id("[EOS]") not in cut
    assert row(trained, "", wrap=True) == [trained.token_id(t) for t in ("[CLS]", "[BOS]", "[EOS]", "[SEP]")]


def test_no_text_and_no_room(trained):
    assert trained.encode([], max_tokens=9).ids.shape == (0, 0)
    assert row(trained, "") == [trained.token_id("[CLS]"), trained.token_id("[SEP]")]
    with pytest.raises(ValueError, match="no room"):
        trained.encode(["a"], max_tokens=1)


def test_trained_vocabulary_knows_every_word_and_every_number(trained):
    assert all(trained.unknown_words(text) == () for text in TEXTS)
    assert trained.unknown_words("a mass of 345.06 mm [SEP] (1990)!") == ()


def test_unknown_words_are_named_once_as_written(trained):
    assert trained.unknown_words("Spiculated mass, SPICULATED or spiculated masse [UNK]") == (
        "Spiculated",
        "SPICULATED",
        "spiculated",
        "masse",
    )


def test_unknown_word_is_the_unknown_token(trained):
    assert row(trained, "a masse")[2] == trained.token_id("[UNK]")


def test_training_is_deterministic_whatever_the_order(trained):
    again = train_wordpiece(reversed(TEXTS))
    assert again.backend.to_str() == trained.backend.to_str()


def test_training_keeps_to_its_size_and_takes_the_frequent_words():
    texts = [f"word{chr(97 + i % 26)}{chr(97 + i // 26)} " * (600 - i) for i in range(600)]
    tokenizer = train_wordpiece(texts, vocab_size=300)
    assert tokenizer.vocab_size == 300
    assert tokenizer.unknown_words("wordaa") == ()
    assert tokenizer.unknown_words(texts[-1]) == (texts[-1].split()[0],)
    with pytest.raises(ValueError, match="always there"):
        train_wordpiece(TEXTS, vocab_size=30)


def test_special_tokens_come_first(trained):
    assert [trained.token_id(token) for token in CORE] == [0, 1, 2, 3, 4]


def test_saved_tokenizer_reads_back_the_same(trained, tmp_path):
    trained.save(tmp_path / "tokenizer.json")
    again = Tokenizer.from_file(tmp_path / "tokenizer.json")
    assert again.vocab_size == trained.vocab_size
    assert all(row(again, text) == row(trained, text) for text in [*TEXTS, *HARD])


def test_library_alone_frames_a_text_the_same(trained):
    assert trained.backend.encode(TEXTS[0]).ids == row(trained, TEXTS[0])


def test_settings_inside_a_foreign_file_do_not_cut_or_pad(trained, tmp_path):
    trained.backend.enable_padding(length=99)
    trained.backend.enable_truncation(5)
    trained.save(tmp_path / "tokenizer.json")
    trained.backend.no_padding()
    trained.backend.no_truncation()
    assert row(Tokenizer.from_file(tmp_path / "tokenizer.json"), TEXTS[0]) == row(trained, TEXTS[0])


def test_a_file_that_is_no_bert_tokenizer_is_refused(tmp_path):
    path = tmp_path / "tokenizer.json"
    with pytest.raises(ValueError, match="no tokenizer at"):
        Tokenizer.from_file(path)
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"no tokenizer\.json"):
        Tokenizer.from_file(path)
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("[PAD]\n[UNK]\na", encoding="utf-8")
    with pytest.raises(ValueError, match=r"has no \[CLS\], \[SEP\]"):
        from_vocab(vocab)


def test_an_unknown_token_has_no_id(trained):
    with pytest.raises(ValueError, match=r"no token '\[NIX\]'"):
        trained.token_id("[NIX]")


def test_words_and_numbers_import_nothing_heavy():
    modules = ("metrics", "words.labels", "words.report", "words.tokens", "zeroshot")
    heavy = "{'torch', 'scipy', 'transformers', 'tokenizers', 'pandas'}"
    code = f"import sys, {', '.join(f'glam.{name}' for name in modules)}; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
