"""A report with two of its sentences exchanged: it says the same, negations included."""

import numpy as np


def exchanged_sentences(text: str, separator: str, rng: np.random.Generator) -> str:
    """Return the text with two of its sentences, drawn at random, in each other's place.

    A sentence ends at `separator`. A text of one sentence stays; either way as many numbers are drawn from `rng`.
    """
    parts = text.split(separator)
    sentences = [index for index, part in enumerate(parts) if part.strip()]
    drawn = rng.random(2)
    if len(sentences) < 2:
        return text
    first = int(drawn[0] * len(sentences))
    second = (first + 1 + int(drawn[1] * (len(sentences) - 1))) % len(sentences)
    a, b = sentences[first], sentences[second]
    parts[a], parts[b] = _in_place_of(parts[a], parts[b]), _in_place_of(parts[b], parts[a])
    return separator.join(parts)


def _in_place_of(old: str, new: str) -> str:
    """Return a sentence with the blanks around it that another one has."""
    content = old.strip()
    before, _, after = old.partition(content)
    return f"{before}{new.strip()}{after}"
