"""Reports that are too long for the text tower: what goes first, what stays, what is told and refused."""

from dataclasses import replace

import numpy as np
import pytest

from glam.settings import Text
from glam.words.facts import Lesion, ReportFacts, mask_meta
from glam.words.report import class_prompts, report_text, shorter_reports
from glam.words.tokens import from_vocab
from glam.words.wording import STYLES
from glam_train.config import changed_config
from glam_train.data.batches import PairBatches
from glam_train.data.captions import (
    check_reports,
    drawn_report,
    facts_of,
    fitted_report,
    long_reports,
    told_unknown_words,
)
from glam_train.data.vocabulary import report_vocabulary

MASS = Lesion(kind="mass", shape="irregular", density="high", margin="spiculated", size_mm=12)
CALCIFICATION = Lesion(kind="calcification", calc_type="amorphous", distribution="grouped")
FACTS = ReportFacts(procedure="Screening", age=50, density="c", birads=5, lesions=(CALCIFICATION, MASS, MASS))


def sentences(text: str) -> list[str]:
    return text.split(" [SEP] ")


def test_shorter_reports_lose_context_then_details_and_keep_what_is_decisive():
    reports = [sentences(text) for text in shorter_reports(FACTS)]
    assert reports[0] == sentences(report_text(FACTS))
    lengths = [len(report) for report in reports]
    assert lengths == list(range(lengths[0], lengths[-1] - 1, -1))
    decisive = ["heterogeneously dense", "Impressions: BI-RADS Category 5", "A mass is present", "calcification"]
    for word in decisive:
        assert any(word in sentence for sentence in reports[-1]), word
    assert not any("irregular" in sentence.lower() or "Screening" in sentence for sentence in reports[-1])
    assert sum("A mass is present" in sentence for sentence in reports[-1]) == 1


def test_a_report_without_a_mass_says_so_however_short():
    facts = replace(FACTS, lesions=(CALCIFICATION,) * 3)
    (no_mass,) = [line for line in sentences(report_text(facts)) if "mass" in line.lower()]
    assert all(no_mass in sentences(text) for text in shorter_reports(facts))


@pytest.fixture
def long_config(toy_config):
    """Eighty tokens: context does not fit beside a finding."""
    return replace(toy_config, model=replace(toy_config.model, text=replace(toy_config.model.text, max_tokens=80)))


@pytest.fixture
def records(toy_cache):
    """Four reports, one of them long."""
    records = [dict(record) for record in toy_cache.records[:4]]
    lesions = [CALCIFICATION.as_json(), MASS.as_json(), MASS.as_json()]
    records[0]["facts"] = {**records[0]["facts"], "lesions": lesions, "birads": 5}
    return records


def test_a_report_in_training_keeps_its_category_within_the_tokens_of_the_tower(records, long_config):
    words = report_vocabulary(records, style="glam")
    for record in records:
        text = fitted_report(facts_of(record), words, long_config)
        assert words.length(text) <= 80
        if facts_of(record).birads is not None:
            assert f"BI-RADS Category {facts_of(record).birads}" in text


def test_long_reports_are_counted_told_and_refused_above_the_share(records, long_config, capsys):
    words = report_vocabulary(records, style="glam")
    lengths = [words.length(report_text(facts_of(record))) for record in records]
    long = sum(length > 80 for length in lengths)
    assert long > 0
    assert long_reports(records, words, long_config) == (4, long, 0)
    check_reports(records, words, long_config)
    assert f"of 4 reports, {long} are shortened and 0 cut at 80 tokens" in capsys.readouterr().err
    papers = replace(long_config, text=replace(long_config.text, style="papers"))
    with pytest.raises(ValueError, match=r"cut at 80 tokens, more than a share of 0.05: give --model.text.max-tokens"):
        check_reports(records, words, papers)
    check_reports(records, words, replace(papers, text=replace(papers.text, max_cut=1.0)))
    assert "cut at 80 tokens" in capsys.readouterr().err
    wide = replace(long_config, model=replace(long_config.model, text=replace(long_config.model.text, max_tokens=192)))
    check_reports(records, words, wide)
    assert capsys.readouterr().err == ""


def test_a_natural_report_is_shortened_as_ours_and_keeps_what_is_decisive(records, long_config):
    config = replace(long_config, text=replace(long_config.text, style="natural"))
    config = replace(config, model=replace(config.model, text=replace(config.model.text, max_tokens=60)))
    words = report_vocabulary(records, style="natural")
    assert words.length(report_text(facts_of(records[0]), style="natural")) > 60
    text = fitted_report(facts_of(records[0]), words, config)
    assert words.length(text) <= 60
    assert "BI-RADS category 5" in text
    assert "This is a mammogram" not in text
    assert sentences(text).count("A mass is present") == 2


@pytest.mark.parametrize("style", STYLES)
def test_the_vocabulary_of_a_style_knows_its_reports_masked_or_not_and_its_prompts(records, style):
    words = report_vocabulary(records, style=style)
    texts = [prompt for task in ("birads", "density", "mass") for prompt in class_prompts(task, style=style)]
    rng = np.random.default_rng(0)
    for facts in map(facts_of, records):
        texts += [report_text(mask_meta(facts, ratio=ratio, rng=rng), style=style) for ratio in (0.0, 0.5, 1.0)]
    assert {word for text in texts for word in words.unknown_words(text)} == set()


@pytest.mark.parametrize("style", STYLES)
def test_the_style_is_an_option_and_what_a_batch_reads(toy_cache, toy_config, style):
    config = changed_config(toy_config, {"text": {"style": Text(style), "mask_meta": Text("0")}})
    stream = PairBatches(
        cache=toy_cache, tokenizer=report_vocabulary(toy_cache.records, style=style), config=config
    )  # fmt: skip
    batch = stream.batch(0, range(2))
    for index, item in enumerate(stream.shown(0)[:2]):
        facts = facts_of(toy_cache.records[item.pair])
        expected = stream.tokenizer.encode([report_text(facts, style=style)], max_tokens=144).ids[0]
        assert batch.token_ids[index, : len(expected)].tolist() == expected.tolist()


def test_a_reworded_report_depends_on_its_draws_alone_and_still_fits(records, long_config):
    config = replace(long_config, text=replace(long_config.text, reword=0.7, mask_meta=0.5))
    words = report_vocabulary(records, style="glam", reword=True)
    facts = facts_of(records[0])
    first, again = (
        [drawn_report(facts, words, config, np.random.default_rng(seed)) for seed in range(20)] for _ in range(2)
    )
    assert first == again
    assert len(set(first)) > 10
    assert max(words.length(text) for text in first) <= 80
    assert {word for text in first for word in words.unknown_words(text)} == set()
    assert all("BI-RADS Category 5" in text and "calcification" in text for text in first)


def test_without_rewording_a_report_is_its_template(records, long_config):
    words = report_vocabulary(records, style="glam")
    rngs = [np.random.default_rng(3) for _ in range(2)]
    expected = fitted_report(mask_meta(facts_of(records[0]), ratio=1.0, rng=rngs[0]), words, long_config)
    assert drawn_report(facts_of(records[0]), words, long_config, rngs[1]) == expected
    assert long_config.text.mask_meta == 1.0


def test_a_tokenizer_that_knows_few_words_of_the_reports_is_told_of(records, long_config, tmp_path, capsys):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nbreast\n")
    check_reports(records, from_vocab(tmp_path / "vocab.txt", lower_case=True), long_config)
    assert "the tokenizer does not know" in (told := capsys.readouterr().err)
    assert "give another --tokenizer, or none" in told
    assert told_unknown_words(records, report_vocabulary(records, style="glam"), long_config) is None
