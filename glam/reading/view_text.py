"""Free text about a view: which view and side it names, and which modifiers of the plain view.

The words are found here; which of them name a side is decided in glam/reading/side_text.py.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import dropwhile
from typing import NamedTuple

from glam.findings import input_error
from glam.reading.charset import folded
from glam.reading.codes import (
    GAP,
    LATEROMEDIAL,
    MEDIOLATERAL,
    MODIFIER_TERMS,
    OBLIQUE,
    SIDE_TERMS,
    VIEW_TERMS,
    whole_words,
)
from glam.reading.denied import denies, is_denied
from glam.reading.side_text import sides_alone, sides_named
from glam.reading.view_words import (
    JOINED_SUFFIXES,
    PREFIXES,
    SHORT_SIDES,
    SUFFIXES,
    WORD,
    any_side,
    is_of_view,
    view_word,
    without_modifiers,
)

ROLLED = {"rolled lateral", "rolled medial", "rolled inferior", "rolled superior"}
BEFORE_VIEW = ("ID", "TAN", "TANG", "RL", "RM", "RI", "RS")
EXAGGERATED = ("XCC", "XCCL", "XCCM")
LATERAL = rf"{MEDIOLATERAL}|{LATEROMEDIAL}"
SIDE_WORD = "|".join(["L", "LT", "LEFT", "R", "RT", "RIGHT", *(term.spelled for term in SIDE_TERMS[:-1])])
SIDE_WITHIN_VIEW = re.compile(
    rf"(?P<first>{whole_words(f'{LATERAL}|ML|LM|{OBLIQUE}')}){GAP}(?P<side>{whole_words(SIDE_WORD)}){GAP}"
    rf"(?={whole_words(f'{LATERAL}|{OBLIQUE}')})"
)
"""A side between the words of an oblique view: mediolateral left oblique."""
ID_HOLDERS = "PAT(?:IENTS?)?|PT|STUDY|EXAM|ACC|ACCESSION|CASE|SUBJECT|USER|TECH|OPERATOR|DEVICE|STATION|UNIT|SERIES"
ID_NUMBER = re.compile(
    rf"(?<![^\W_])(?:(?:{ID_HOLDERS})[\s._-]*ID(?![^\W\d_])(?:[\s:#=._-]*\w*\d\w*)?|ID\s*[:#=](?:\s*\w*\d\w*)?|"
    r"ID[\s_-]*(?:(?:NO|NR)(?![^\W_])|\w*\d{3}\w*))"
)
"""An identifier, where ID is no displaced implant: Patient ID, ID: A1, ID 12345."""
VOLUME = re.compile(r"(?<!\w)(?:\d+(?:[.,]\d+)?\s*(?:cc|ml|mL)|\d{2,}(?:[.,]\d+)?\s+(?:CC|ML))(?!\w)")
"""An amount of contrast agent: 100 ml, 1.5 cc."""
CC_AND_SIDE = re.compile(r"CC[LREIGD]\d{0,2}")
"""CC with a side behind it, which is much else too: a detector, an index, a gall bladder."""
CARBON_COPY = re.compile(r"(?<![^\W_])CC(?=\s*:\s*DR|\s+TO(?![^\W_]))")
"""The beginning of a letter's copy: cc: Dr Smith, cc to Dr Smith."""

MAX_LENGTH = 1000
"""Number of characters that are read; a description has 64."""


class ViewText(NamedTuple):
    """What a free text says of view and side."""

    views: frozenset[str]
    sides: frozenset[str]
    modifiers: tuple[str, ...]
    """Names out of MODIFIER_TERMS."""
    is_view_alone: bool
    """The text names a view, perhaps a side and modifiers, and nothing else."""


def without_volumes(text: str) -> str:
    """Return a text without amounts in cubic centimetres and millilitres, which look like views."""
    return VOLUME.sub(" ", text)


def view_text_of(text: str) -> ViewText:
    """Return the views, the sides and the modifiers that a text names."""
    return _meaning(text, list)


def view_text_of_name(file_name: str) -> ViewText:
    """Return the same of a file's name, where names of people and places may stand before the words about the view."""
    return _meaning(file_name, lambda words: list(dropwhile(_is_name, words)))


def _meaning(text: str, kept: Callable[[list[str]], list[str]]) -> ViewText:
    """Return what a text means, of its words those that are kept."""
    folded_text = ID_NUMBER.sub(" ", _folded_beginning(text))
    written_out = [term.name for term in MODIFIER_TERMS if _is_named(term.spelled, folded_text)]
    folded_text = SIDE_WITHIN_VIEW.sub(r"\g<side> \g<first> ", folded_text)
    for term in VIEW_TERMS:
        folded_text = re.sub(whole_words(term.spelled), f" {term.name.upper()} ", folded_text)
    words = kept(_words(without_modifiers(folded_text)))
    views = [match for word in words if (match := view_word(word))]
    abbreviated = [name for view in views for name in _modifiers_of(view)]
    modifiers = dict.fromkeys([*written_out, *abbreviated, *_abbreviations_beside(_words(folded_text))])
    return ViewText(
        views=frozenset(view["view"] for view in views) | _oblique_views(views, folded_text),
        sides=sides_named(words),
        modifiers=tuple(name for name in modifiers if name != "rolled" or ROLLED.isdisjoint(modifiers)),
        is_view_alone=bool(views) and all(map(is_of_view, words)),
    )


def sides_of(text: str) -> frozenset[str]:
    """Return the sides named in a text about the side alone, `B` for both breasts; a letter counts by itself."""
    return sides_alone(_words(_folded_beginning(text)))


def _folded_beginning(text: str) -> str:
    """Return what is read of a text, folded; of a longer one with a mark behind it, which leaves no cut word known."""
    return folded(text if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]}\ufffd")


def _words(folded_text: str) -> list[str]:
    """Return the words of a text, "" for each sign, and for each view that is denied or may be something else."""
    matches = WORD.finditer(CARBON_COPY.sub(" ", folded_text))
    words = ["" if match["sign"] or _is_denied_view(match) else match[0] for match in matches]
    is_one_view = len(list(filter(view_word, words))) == 1 and all(map(is_of_view, words))
    return words if is_one_view else ["" if CC_AND_SIDE.fullmatch(word) else word for word in words]


def _is_name(word: str) -> bool:
    """Return whether a word of a file's name may be that of a person or a place."""
    return not (view_word(word) or any_side(word) or denies(word))


def _is_denied_view(match: re.Match[str]) -> bool:
    return view_word(match[0]) is not None and is_denied(match.string, *match.span())


def side_of_request(view: str | None, laterality: str | None) -> str | None:
    """Return the side that a request names: `laterality`, else the side beside the view in `view`, as in LMLO.

    InputError where the text of the view names both sides, or another one than `laterality`.
    """
    in_view, in_laterality = view_text_of(view or "").sides, sides_of(laterality or "")
    if len(in_view) > 1:
        raise input_error("bad_field", "view", problem="the text of the view names both breasts: name one")
    if in_view and in_laterality and in_view != in_laterality:
        raise input_error("bad_field", "view", problem="the view and the laterality name different breasts: name one")
    return laterality if (laterality or "").strip() else next(iter(in_view), laterality)


def is_mentioned(pattern: str, text: str) -> bool:
    """Return whether a text has words of a pattern, without a word before them that denies them."""
    return _is_named(pattern, _folded_beginning(text))


def _is_named(pattern: str, folded_text: str) -> bool:
    """Return whether a folded text has a term, without a word before it that denies it."""
    matches = re.finditer(whole_words(pattern), folded_text)
    return any(not is_denied(folded_text, *match.span()) for match in matches)


def _oblique_views(words: Sequence[re.Match[str]], folded_text: str) -> frozenset[str]:
    """Return the oblique views that lateral ones may be, where the word oblique stands apart from them."""
    lateral = {word["view"] for word in words} & {"ML", "LM"}
    return frozenset(f"{view}O" for view in lateral) if re.search(whole_words(OBLIQUE), folded_text) else frozenset()


def _modifiers_of(word: re.Match[str]) -> Iterator[str]:
    yield from (PREFIXES[letter] for letter in word["prefixes"])
    yield from (JOINED_SUFFIXES[suffix] for suffix in re.findall("|".join(JOINED_SUFFIXES), word["suffixes"]))
    if word["view"] in EXAGGERATED:
        yield "exaggerated"


def _abbreviations_beside(tokens: Sequence[str]) -> Iterator[str]:
    """Yield the modifiers whose abbreviations follow a view or a side; AT, an English word, only as the last one.

    ID, tangential and rolled stand before a view as well.
    """
    follows = False
    for place, token in enumerate(tokens):
        ahead = next((other for other in tokens[place + 1 :] if other not in SHORT_SIDES), "")
        if token in BEFORE_VIEW and not follows and view_word(ahead):
            yield SUFFIXES[token]
        if follows and token in SUFFIXES and (token != "AT" or place == len(tokens) - 1):
            yield SUFFIXES[token]
        elif not (follows and token in SHORT_SIDES):
            follows = bool(view_word(token)) or token in SHORT_SIDES
