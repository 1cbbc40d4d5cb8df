"""Which side a free text names: a word or a letter beside a view, with nothing but known words up to the text's end.

Nobody can list what people write beside `left`: arm, in place, not done, against, clip. So the known words are listed
(glam/reading/view_words.py), and any other one leaves a side that it may belong to unread: the request can name it.
"""

import re
from collections.abc import Sequence
from itertools import takewhile

from glam.reading.codes import SIDE_TERMS
from glam.reading.view_words import LETTERS, SIDES_BEHIND_VIEW, any_side, is_known, view_word

BOTH = "B"
BOTH_WORD = re.compile(f"{BOTH}|{SIDE_TERMS[-1].spelled}")
"""A word for both breasts, in a text about the side alone."""


def sides_named(words: Sequence[str]) -> frozenset[str]:
    """Return the side that the words of a text name, or both of them if the text has both anywhere.

    A side counts where it is joined to a view (LMLO); before a view, if every word from the text's beginning to the
    view is known (`Screening R MLO`), or behind one, if every word to the end is (`CC left`); and, written out, in a
    text of known words without a view.
    """
    beside = [*_up_to_view(words), *_up_to_view(words[::-1])]
    if all(map(is_known, words)) and not any(map(view_word, words)):
        beside = [word for word in words if word not in LETTERS]
    mentioned = _sides(words)
    named = {side for side in map(any_side, beside) if side} | {side for side in map(_joined_side, words) if side}
    return frozenset(mentioned if len(mentioned) > 1 else named)


def sides_alone(words: Sequence[str]) -> frozenset[str]:
    """Return the sides that the words of a text about the side alone name, `B` for both; a letter counts by itself."""
    both = {BOTH for word in words if BOTH_WORD.fullmatch(word)}
    is_understood = all(BOTH_WORD.fullmatch(word) or is_known(word) for word in words)
    return frozenset(_sides(words) | both) if is_understood else sides_named(words) | both


def _sides(words: Sequence[str]) -> set[str]:
    """Return the sides of words, be they words of a side or parts of words for a view."""
    return {side for word in words if (side := any_side(word) or _joined_side(word))}


def _joined_side(word: str) -> str:
    """Return the side that is part of a word for a view; "" for none."""
    match = view_word(word)
    return (any_side(match["side"] or "") or SIDES_BEHIND_VIEW.get(match["side_behind"] or "", "")) if match else ""


def _up_to_view(words: Sequence[str]) -> list[str]:
    """Return the known words that the text begins with, up to the last view among them; none without a view."""
    known = list(takewhile(is_known, words))
    places = [place for place, word in enumerate(known) if view_word(word)]
    return known[: places[-1]] if places else []
