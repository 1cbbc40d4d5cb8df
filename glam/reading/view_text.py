"""Free text about a view: which view and side it names, and which modifiers of the plain view.

The side stands before the view, or behind it as some countries write it.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
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
from glam.reading.denied import is_denied
from glam.reading.side_text import without_other_words
from glam.reading.view_words import (
    JOINED_SUFFIXES,
    OF_BREAST,
    PREFIXES,
    SHORT_SIDES,
    SIDES_BEHIND_VIEW,
    SUFFIXES,
    TOKEN,
    any_side,
    belongs_to_view,
    is_of_view,
    view_word,
    without_modifiers,
    written_side,
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
INITIALS = re.compile(r"(?<![\w.])(?:[^\W\d_]\.[\s-]*)+(?=(?P<name>[^\W\d_]{2,}))")
"""Letters with a full stop before a name: R. Smith, J. L. Brown."""
VOLUME = re.compile(r"(?<!\w)(?:\d+(?:[.,]\d+)?\s*(?:cc|ml|mL)|\d{2,}(?:[.,]\d+)?\s+(?:CC|ML))(?!\w)")
"""An amount of contrast agent: 100 ml, 1.5 cc."""

BOTH = "B"
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
    """Return the views, the sides and the modifiers that a text names.

    A lone letter, which may be an initial, counts as a side beside a view only, and not before a name with a full stop;
    the abbreviation of a modifier counts beside view or side.
    """
    folded_text = ID_NUMBER.sub(" ", folded(text[:MAX_LENGTH]))
    written_out = [term.name for term in MODIFIER_TERMS if _is_named(term.spelled, folded_text)]
    folded_text = SIDE_WITHIN_VIEW.sub(r"\g<side> \g<first> ", folded_text)
    for term in VIEW_TERMS:
        folded_text = re.sub(whole_words(term.spelled), f" {term.name.upper()} ", folded_text)
    folded_text = without_other_words(folded_text)
    tokens: list[str] = TOKEN.findall(folded_text)
    words = [match for token in tokens if (match := view_word(token))]
    sides = {side for token in tokens if (side := written_side(token))} | set(_letters_beside(folded_text))
    sides |= {side for word in words if (side := _side_of_view_word(word))}
    abbreviated = [name for word in words for name in _modifiers_of(word)]
    modifiers = dict.fromkeys([*written_out, *abbreviated, *_abbreviations_beside(tokens)])
    unmodified = TOKEN.findall(without_modifiers(folded_text))
    return ViewText(
        views=frozenset(word["view"] for word in words) | _oblique_views(words, folded_text),
        sides=frozenset(sides),
        modifiers=tuple(name for name in modifiers if name != "rolled" or ROLLED.isdisjoint(modifiers)),
        is_view_alone=bool(words) and all(map(is_of_view, unmodified)),
    )


def sides_of(text: str) -> frozenset[str]:
    """Return the sides named in a text about the side alone, where a letter counts by itself."""
    tokens = TOKEN.findall(without_other_words(folded(text[:MAX_LENGTH])))
    letters = {token[0] for token in tokens if token in ("L", "LT", "R", "RT", BOTH)}
    both = {BOTH for token in tokens if re.fullmatch(SIDE_TERMS[-1].spelled, token)}
    return view_text_of(text).sides | letters | both


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
    return _is_named(pattern, folded(text[:MAX_LENGTH]))


def _is_named(pattern: str, folded_text: str) -> bool:
    """Return whether a folded text has a term, without a word before it that denies it."""
    matches = re.finditer(whole_words(pattern), folded_text)
    return any(not is_denied(folded_text, *match.span()) for match in matches)


def _letters_beside(folded_text: str) -> Iterator[str]:
    """Yield the sides of lone letters beside a view, with nothing between them but what belongs to it.

    LT and RT count beside a word about the breast too, and alone.
    """
    without_initials = INITIALS.sub(lambda match: match[0] if belongs_to_view(match["name"]) else " ", folded_text)
    for term in MODIFIER_TERMS[:-1]:  # the last one takes views with it
        without_initials = re.sub(whole_words(term.spelled), " ", without_initials)
    words = TOKEN.findall(without_initials)
    for belongs, group in groupby(words, belongs_to_view):
        tokens = list(group)
        if belongs and any(map(view_word, tokens)):
            yield from (SHORT_SIDES[token] for token in tokens if token in SHORT_SIDES)
        elif belongs and (tokens == words or any(map(OF_BREAST.fullmatch, tokens))):
            yield from (SHORT_SIDES[token] for token in tokens if token in ("LT", "RT", "ESQ"))


def _side_of_view_word(word: re.Match[str]) -> str:
    return any_side(word["side"] or "") or SIDES_BEHIND_VIEW.get(word["side_behind"] or "", "")


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
