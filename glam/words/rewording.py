"""Other words for the sentences of reports, from a table, without a network: no finding and no negation comes or goes.

A sentence of the reports is put in the words of another row of its group, with what stands in braces as it was. What
is in no group (procedure, reason, impression, overall assessment) stays. A test reads reports before and after.
"""

import re
from dataclasses import replace
from functools import cache
from zlib import crc32

import numpy as np

from glam.words import wording
from glam.words.facts import ReportFacts

HEADING = re.compile(r"(?:[A-Z][A-Za-z]+(?: [A-Za-z]+){0,2}: )?")
"""What may stand before the sentence: "Findings: "."""
GROUPS: tuple[tuple[str, ...], ...] = (
    # What reports write comes first; {rest} may be empty.
    ("The mammogram shows that {what}", "This mammogram shows that {what}", "The image shows that {what}"),
    ("No mass is present", "No mass is seen", "There is no mass"),
    (
        "No mass, calcification or other abnormality is present",
        "No mass, calcification or other abnormality is seen",
        "There is no mass, calcification or other abnormality",
    ),
    ("A {what} is present{rest}", "A {what} is seen{rest}", "There is a {what}{rest}"),
    ("An {what} is present{rest}", "An {what} is seen{rest}", "There is an {what}{rest}"),
    ("The mass is {what}", "This mass is {what}"),
    (
        "It measures {size} mm and has {margin} margins",
        "It has {margin} margins and measures {size} mm",
        "Its size is {size} mm and its margins are {margin}",
    ),
    ("It measures {size} mm", "Its size is {size} mm"),
    ("It has {margin} margins", "Its margins are {margin}"),
    ("The breast is {what}", "This breast is {what}", "The breast tissue is {what}"),
    ("There are {what} in the breast", "There are {what} in this breast", "The breast has {what}"),
    ("This may lower {what}", "This can lower {what}"),
    ("The dense tissue may lower {what}", "The dense tissue can lower {what}"),
    ("Additional imaging is recommended", "Additional imaging is advised"),
    ("Additional imaging is needed", "Additional imaging is required"),
    ("This patient is {who}", "The patient is {who}"),
    ("The patient is {who}", "This patient is {who}"),
    (
        "This is a {kind} full-field digital mammogram of the {side} breast with {view} view",
        "The image is a {kind} full-field digital mammogram of the {side} breast with {view} view",
        "This is a {kind} full-field digital mammogram that shows the {side} breast in {view} view",
    ),
    ("This is a{kind}mammogram", "The image is a{kind}mammogram"),
    ("It shows {what}", "The image shows {what}"),
    ("The assessment is {what}", "It is assessed as {what}"),
    ("A mammogram{rest}", "This is a mammogram{rest}", "A mammogram image{rest}"),
)


def reworded(text: str, *, chance: float, seed: int) -> str:
    """Return a report with each sentence put in other words with a chance.

    What a sentence becomes depends on the seed and itself alone, whatever stands beside it.
    """
    return wording.SEPARATOR.join(_piece(piece, chance, seed) for piece in text.split(wording.SEPARATOR))


def reordered(facts: ReportFacts, *, chance: float, rng: np.random.Generator) -> ReportFacts:
    """Return the facts with the findings in a random order with a chance; always takes as many draws from `rng`."""
    drawn, order = rng.random(), rng.permutation(len(facts.lesions))
    return replace(facts, lesions=tuple(facts.lesions[index] for index in order)) if drawn < chance else facts


def table_words() -> str:
    """Return every word of the table, for a vocabulary."""
    return " ".join(re.sub(r"{\w+}", " ", row) for group in GROUPS for row in group)


def _piece(piece: str, chance: float, seed: int) -> str:
    """Reword a sentence with the blanks around it."""
    sentence = piece.strip()
    rng = np.random.default_rng([seed, crc32(sentence.encode())])
    if rng.random() >= chance:
        return piece
    heading = HEADING.match(sentence)
    start = heading.end() if heading else 0
    for pattern, others in _patterns():
        if found := pattern.fullmatch(sentence, start):
            other = others[int(rng.integers(len(others)))].format(**found.groupdict())
            return piece.replace(sentence, sentence[:start] + other, 1)
    return piece


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]:
    return tuple((_pattern(written), tuple(others)) for written, *others in GROUPS)


def _pattern(row: str) -> re.Pattern[str]:
    """Return what matches the sentences of a row: {rest} is anything or nothing, other names something."""
    parts = re.split(r"{(\w+)}", row)  # text, name, text, name ...
    named = [f"(?P<{name}>.{'*' if name == 'rest' else '+?'})" for name in parts[1::2]]
    texts = [re.escape(text) for text in parts[::2]]
    return re.compile("".join(text + name for text, name in zip(texts, [*named, ""], strict=True)))
