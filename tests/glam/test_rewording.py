"""Reports in other words: what is found and what is denied in them, read by a reader of its own, stays."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glam.words.facts import Lesion, ReportFacts
from glam.words.labels import BIRADS_7, DENSITY
from glam.words.report import report_text
from glam.words.rewording import GROUPS, reordered, reworded, table_words
from glam.words.tokens import train_wordpiece
from glam.words.wording import LESION_WORDS, STYLES

DENIALS = {"no", "not", "without", "never", "none", "absent", "neither", "nor", "free", "denied", "excluded", "lacks"}
THINGS = (
    "mass", "masses", "calcification", "distortion", "asymmetry", "abnormality", "abnormalities", "malignancy",
    "malignant", "finding", "findings", "densities", "dense", "fat", "fatty", "biopsy", "imaging", "sensitivity",
    "benign", "negative", "suspicious", "probably", "unknown", "left", "right", "cc", "mlo", "margins", "mm",
)  # fmt: skip
DESCRIBED = {part for words in LESION_WORDS.values() for word in words for part in re.findall("[a-z]{3,}", word)}
NAMES = re.compile(r"{(\w+)}")


def said(text: str) -> Counter[tuple[str, bool]]:
    """(word, whether its sentence denies) -> in how many sentences; numbers among the words."""
    found: Counter[tuple[str, bool]] = Counter()
    for sentence in text.split("[SEP]"):
        words = set(re.findall(r"[a-z]+|\d+", sentence.lower()))
        denies = bool(words & DENIALS)
        found.update((word, denies) for word in words & {*THINGS, *DESCRIBED} | {w for w in words if w.isdigit()})
    return found


def lesions() -> st.SearchStrategy[Lesion]:
    words = {name: st.sampled_from(("", *known)) for name, known in LESION_WORDS.items() if name != "kind"}
    size = st.none() | st.floats(0.5, 90)
    return st.builds(Lesion, kind=st.sampled_from(LESION_WORDS["kind"]), size_mm=size, **words)


def facts() -> st.SearchStrategy[ReportFacts]:
    return st.builds(
        ReportFacts,
        procedure=st.sampled_from(("", "MG Screening Bilateral")),
        reason=st.sampled_from(("", "screening", "additional evaluation")),
        race=st.sampled_from(("", "Asian")),
        ethnicity=st.sampled_from(("", "Hispanic or Latino", "Non-Hispanic or Latino")),
        age=st.none() | st.integers(30, 90),
        image_type=st.sampled_from(("", "2D", "synthetic")),
        laterality=st.sampled_from(("", "L", "R")),
        view=st.sampled_from(("", "CC", "MLO")),
        density=st.sampled_from(("", *DENSITY)),
        birads=st.sampled_from((None, *BIRADS_7)),
        lesions=st.lists(lesions(), max_size=3).map(tuple),
    )


@given(facts=facts(), style=st.sampled_from(STYLES), seed=st.integers(0, 2**32 - 1), chance=st.floats(0, 1))
def test_no_finding_and_no_negation_comes_or_goes(facts, style, seed, chance):
    before = report_text(facts, style=style)
    ordered = reordered(facts, chance=chance, rng=np.random.default_rng(seed))
    after = reworded(report_text(ordered, style=style), chance=chance, seed=seed)
    assert said(after) == said(before)
    assert after.count("[SEP]") == before.count("[SEP]")


@settings(max_examples=25)
@given(facts=facts(), style=st.sampled_from(STYLES), seed=st.integers(0, 2**32 - 1))
def test_a_vocabulary_with_the_table_knows_every_other_word(facts, style, seed):
    text = report_text(facts, style=style)
    words = train_wordpiece([text, table_words()])
    assert words.unknown_words(reworded(text, chance=1.0, seed=seed)) == ()


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group[0])
def test_the_rows_of_a_group_hold_the_same_and_deny_the_same(group):
    filled = [NAMES.sub("", row) for row in group]
    assert len({frozenset(NAMES.findall(row)) for row in group}) == 1
    denials = [sum(word in DENIALS for word in re.findall("[a-z]+", row.lower())) for row in filled]
    assert len(set(denials)) == 1
    assert len(set(group)) == len(group) > 1


def test_each_row_of_the_table_is_reached_and_nothing_else():
    texts = [report_text(ReportFacts(birads=0, lesions=(Lesion(kind="mass"),)), style="natural")] * 60
    seen = {reworded(text, chance=1.0, seed=seed).split(" [SEP] ")[2] for seed, text in enumerate(texts)}
    assert seen == {"A mass is seen", "There is a mass"}
    text = "Findings: The mammogram shows that no significant masses, calcification, or other abnormalities are present"
    seen = {reworded(text, chance=1.0, seed=seed) for seed in range(60)}
    assert seen == {text.replace("The mammogram", start) for start in ("This mammogram", "The image")}
    assert reworded("Overall Assessment: Negative", chance=1.0, seed=0) == "Overall Assessment: Negative"


def test_rewording_keeps_the_blanks_of_the_published_template():
    text = report_text(ReportFacts(birads=2, density="c", laterality="L"), style="papers")
    found = reworded(text, chance=1.0, seed=1)
    assert found != text
    assert [len(piece) - len(piece.lstrip()) for piece in found.split("[SEP]")] == [
        len(piece) - len(piece.lstrip()) for piece in text.split("[SEP]")
    ]


def test_a_chance_of_0_changes_nothing_and_a_half_about_half_of_the_sentences():
    texts = [report_text(ReportFacts(birads=birads, density="c")) for birads in BIRADS_7]
    assert [reworded(text, chance=0.0, seed=3) for text in texts] == texts
    sentences = [f"The mass is {number}" for number in range(400)]
    changed = [reworded(sentence, chance=0.5, seed=5) != sentence for sentence in sentences]
    assert 0.4 < np.mean(changed) < 0.6


def test_a_sentence_becomes_the_same_whatever_stands_beside_it():
    alone = reworded("A mass is present", chance=1.0, seed=11)
    assert reworded("It measures 3 mm [SEP] A mass is present", chance=1.0, seed=11).endswith(f"[SEP] {alone}")
