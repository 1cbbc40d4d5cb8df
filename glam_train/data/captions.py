"""Reports of cache records as the text tower reads them, and how many of them are too long for it."""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from glam.words.facts import ReportFacts, lesion_from_json, mask_meta
from glam.words.report import report_text, shorter_reports
from glam.words.rewording import reordered, reworded
from glam.words.tokens import Tokenizer
from glam_train.config import PretrainConfig

LOOKED_AT, FEW_UNKNOWN, NAMED = 200, 0.1, 5
"""Reports whose words are looked up, the share of their words that may be unknown, and how many are named."""


class LongReports(NamedTuple):
    """How many reports are longer than the text tower takes."""

    of: int
    shortened: int
    """Told without some of their context or of what is said of single findings."""
    cut: int
    """Cut at the last token, whatever stood there: the impression and the assessment are at the end."""


def facts_of(record: dict[str, Any]) -> ReportFacts:
    """Return the facts for the report of a cache record."""
    facts = dict(record["facts"])
    facts["lesions"] = tuple(lesion_from_json(lesion) for lesion in facts.get("lesions", ()))
    return ReportFacts(**facts)


def drawn_report(facts: ReportFacts, tokenizer: Tokenizer, config: PretrainConfig, rng: np.random.Generator) -> str:
    """Return a report as one update reads it: fields masked, findings in another order, sentences in other words."""
    text = config.text
    facts = mask_meta(facts, ratio=text.mask_meta, rng=rng)
    if not text.reword:
        return fitted_report(facts, tokenizer, config)
    facts, seed = reordered(facts, chance=text.reword, rng=rng), int(rng.integers(2**32))
    return fitted_report(facts, tokenizer, config, reword=partial(reworded, chance=text.reword, seed=seed))


def fitted_report(
    facts: ReportFacts, tokenizer: Tokenizer, config: PretrainConfig, reword: Callable[[str], str] | None = None
) -> str:
    """Return the longest report of the style that fits into `max_tokens`, or its shortest.

    The published template has one length: it is cut as the released code cuts it. `reword`: puts a report in other
    words. None: as it is written.
    """
    text = ""
    for written in shorter_reports(facts, style=config.text.style):
        text = written if reword is None else reword(written)
        if _fits(text, tokenizer, config):
            break
    return text


def long_reports(records: Sequence[dict[str, Any]], tokenizer: Tokenizer, config: PretrainConfig) -> LongReports:
    """Count the reports of cache records that are too long, as they are before any field is masked."""
    shortened = cut = 0
    for facts in map(facts_of, records):
        text = report_text(facts, style=config.text.style)
        if _fits(text, tokenizer, config):
            continue
        if _fits(fitted_report(facts, tokenizer, config), tokenizer, config):
            shortened += 1
        else:
            cut += 1
    return LongReports(len(records), shortened, cut)


def told_unknown_words(records: Sequence[dict[str, Any]], tokenizer: Tokenizer, config: PretrainConfig) -> str | None:
    """Return in a line which words of the first reports the tokenizer does not know; None where it knows nearly all."""
    texts = [report_text(facts, style=config.text.style) for facts in map(facts_of, records[:LOOKED_AT])]
    words = {word for text in texts for word in text.split()}
    unknown = dict.fromkeys(word for text in texts for word in tokenizer.unknown_words(text))
    if len(unknown) <= FEW_UNKNOWN * len(words):
        return None
    some = ", ".join(list(unknown)[:NAMED])
    return f"the tokenizer does not know {len(unknown)} words of the first {len(texts)} reports, such as {some}"


def check_reports(records: Sequence[dict[str, Any]], tokenizer: Tokenizer, config: PretrainConfig) -> None:
    """Say on stderr how many reports are too long, and which words are unknown where many are.

    ValueError where more reports are cut than `text.max_cut` allows.
    """
    if told := told_unknown_words(records, tokenizer, config):
        sys.stderr.write(f"{told}: give another --tokenizer, or none, which trains one on the reports\n")
    counts, limit = long_reports(records, tokenizer, config), config.model.text.max_tokens
    if not counts.shortened + counts.cut:
        return
    told = f"of {counts.of} reports, {counts.shortened} are shortened and {counts.cut} cut at {limit} tokens"
    if counts.cut > config.text.max_cut * counts.of:
        raise ValueError(
            f"{told}, more than a share of {config.text.max_cut:g}: give --model.text.max-tokens up to "
            f"{config.model.text.max_positions}, --text.style glam, or allow it with --text.max-cut"
        )
    sys.stderr.write(f"{told}: --model.text.max-tokens up to {config.model.text.max_positions} keeps more\n")


def _fits(text: str, tokenizer: Tokenizer, config: PretrainConfig) -> bool:
    wrapped = 2 if config.model.text.wrap_tokens else 0
    return tokenizer.length(text) + wrapped <= config.model.text.max_tokens
