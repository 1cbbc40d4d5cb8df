"""What people and devices write of a view: its name, its side and how it departs from the plain one, in one text.

The abbreviations are those of the ACR (PS3.16 CID 4014 and 4015): a view, with M or S before it and ID, RL, TAN ...
behind it; a side stands before them, or behind them as some countries write it.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from glam.findings import input_error
from glam.reading.charset import folded
from glam.reading.codes import MODIFIER_TERMS, SIDE_TERMS, VIEW_TERMS, whole

SUFFIXES = {
    "ID": "implant displaced",
    "RL": "rolled lateral",
    "RM": "rolled medial",
    "RI": "rolled inferior",
    "RS": "rolled superior",
    "NP": "nipple in profile",
    "AC": "anterior compression",
    "IMF": "infra-mammary fold",
    "AX": "axillary tissue",
    "CV": "cleavage",
    "AT": "axillary tail",
    "TANG": "tangential",
    "TAN": "tangential",
}
JOINED = SUFFIXES | {"SPOT": "spot compression", "MAG": "magnification"}
"""What is written behind a view without a blank."""
PREFIXES = {"M": "magnification", "S": "spot compression"}
ROLLED = {"rolled lateral", "rolled medial", "rolled inferior", "rolled superior"}
EXAGGERATED = ("XCC", "XCCL", "XCCM")
SIDE_LETTERS = {"L": "L", "LT": "L", "LEFT": "L", "R": "R", "RT": "R", "RIGHT": "R"}
HANDS = {"L": "L", "E": "L", "I": "L", "G": "L", "R": "R", "D": "R"}
"""A side behind CC and MLO: esquerda, izquierda, gauche; direita, derecha, droite."""
WORD = re.compile(
    r"(?P<side>LEFT|LT|L|RIGHT|RT|R)?(?P<prefixes>[MS]{0,2})"
    r"(?P<view>CC|MLO|ML|LMO|LM|XCCL|XCCM|XCC|SIO|FB)"
    rf"(?P<suffixes>(?:{'|'.join(JOINED)})*)(?P<hand>(?<=CC)[LREIGD]|(?<=MLO)[LREIGD])?\d{{0,2}}"
)
"""A word that names a view, with what may be joined to it: LMLO, RMCC, CCID, MLOE, MLO2."""
CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
"""Scripts that put no blank between their words and Latin letters."""
TOKEN = re.compile(rf"[{CJK}]+|(?:[^\W_{CJK}]|[\ue000-\ue0ff])+")
"""A word; a byte without a meaning (glam/reading/charset.py) is part of it."""
NEGATED = re.compile(r"(?<![^\W_])(?:NOT?|NON|W/O|WITHOUT|OHNE|KEINE?|SANS|SIN|SEM|SENZA|ZONDER)[\s-]+$")
SOMEBODY = "PAT(?:IENTS?)?|PT|STUDY|EXAM|ACC|ACCESSION|CASE|SUBJECT|USER|TECH|OPERATOR|DEVICE|STATION|UNIT|SERIES"
ID_NUMBER = re.compile(
    rf"(?<![^\W_])(?:(?:{SOMEBODY})[\s._-]*ID(?![^\W\d_])(?:[\s:#=._-]*\w*\d\w*)?|ID\s*[:#=](?:\s*\w*\d\w*)?|"
    r"ID[\s_-]*(?:(?:NO|NR)(?![^\W_])|\w*\d{3}\w*))"
)
"""An identifier and not a displaced implant: Patient ID, ID: A1, ID 12345."""
VOLUME = re.compile(r"(?<!\w)(?:\d+(?:[.,]\d+)?\s*(?:cc|ml|mL)|\d{2,}(?:[.,]\d+)?\s+(?:CC|ML))(?!\w)")
"""An amount of contrast agent: 100 ml, 1.5 cc."""

BOTH = "B"
MAX_LENGTH = 1000
"""Characters that are looked at; a description has 64."""


class Spoken(NamedTuple):
    """What a text says."""

    views: frozenset[str]
    sides: frozenset[str]
    modifiers: tuple[str, ...]
    """By the names of MODIFIER_TERMS."""
    is_all: bool
    """The text says nothing else."""


def without_volumes(text: str) -> str:
    """Return a text without amounts in cubic centimetres and millilitres, which look like views."""
    return VOLUME.sub(" ", text)


def spoken(text: str) -> Spoken:
    """Return the views, the sides and the modifiers that a text names.

    A lone letter, which may be an initial, counts as a side beside a view only; so does the abbreviation of a
    modifier beside view or side.
    """
    plain = ID_NUMBER.sub(" ", folded(text[:MAX_LENGTH]))
    spelled = [term.name for term in MODIFIER_TERMS if _names(term.spelled, plain)]
    for term in VIEW_TERMS:
        plain = re.sub(whole(term.spelled), f" {term.name.upper()} ", plain)
    tokens: list[str] = TOKEN.findall(plain)
    words = [match for token in tokens if (match := _view_word(token))]
    sides = {side for token in tokens if (side := _side(token, beside_view=bool(words)))}
    sides |= {side for word in words if (side := _side_of_view_word(word))}
    abbreviated = [name for word in words for name in _modifiers_of(word)]
    modifiers = dict.fromkeys([*spelled, *abbreviated, *_abbreviations_beside(tokens)])
    return Spoken(
        views=frozenset(word["view"] for word in words),
        sides=frozenset(sides),
        modifiers=tuple(name for name in modifiers if name != "rolled" or ROLLED.isdisjoint(modifiers)),
        is_all=bool(words) and all(_is_of_view(token) for token in TOKEN.findall(_without_modifiers(plain))),
    )


def side_of(text: str) -> frozenset[str]:
    """Return the sides that a text names which is about nothing else: a letter counts by itself."""
    tokens = TOKEN.findall(folded(text[:MAX_LENGTH]))
    letters = {"L", "R", "B"} & set(tokens)
    return spoken(text).sides | letters | {BOTH for token in tokens if re.fullmatch(SIDE_TERMS[-1].spelled, token)}


def asked_side(view: str | None, laterality: str | None) -> str | None:
    """Return the caller's word on the side: `laterality`, else what the text of the view names beside it, as in LMLO.

    InputError where the text of the view names both sides, or another one than `laterality`.
    """
    in_view, said = spoken(view or "").sides, side_of(laterality or "")
    if len(in_view) > 1:
        raise input_error("bad_field", "view", what="the text of the view names both breasts: name one")
    if in_view and said and in_view != said:
        raise input_error("bad_field", "view", what="the view and the laterality name different breasts: name one")
    return laterality if (laterality or "").strip() else next(iter(in_view), laterality)


def mentioned(pattern: str, text: str) -> bool:
    """Return whether words stand in a text, and no word before them denies them."""
    return _names(pattern, folded(text[:MAX_LENGTH]))


def _names(pattern: str, plain: str) -> bool:
    """Return whether a term stands in a text, and no word before it denies it."""
    return any(not NEGATED.search(plain[: match.start()]) for match in re.finditer(whole(pattern), plain))


def _without_modifiers(plain: str) -> str:
    for term in MODIFIER_TERMS:
        plain = re.sub(whole(term.spelled), " ", plain)
    return plain


def _is_of_view(token: str) -> bool:
    return bool(_view_word(token) or _side(token, beside_view=True)) or token in SUFFIXES or token.isdecimal()


def _view_word(token: str) -> re.Match[str] | None:
    """Return the parts of a word that names a view.

    M and S before CC, ML and others count behind a side only: SCC is a carcinoma.
    """
    match = WORD.fullmatch(token)
    if not match or (match["prefixes"] and not match["side"] and match["view"] != "MLO"):
        return None
    return None if match["side"] and match["hand"] else match


def _side(token: str, *, beside_view: bool) -> str:
    if token in SIDE_LETTERS:
        return SIDE_LETTERS[token] if beside_view or len(token) > 1 else ""
    return next((term.name for term in SIDE_TERMS[:-1] if re.fullmatch(term.spelled, token)), "")


def _side_of_view_word(word: re.Match[str]) -> str:
    return SIDE_LETTERS.get(word["side"] or "", "") or HANDS.get(word["hand"] or "", "")


def _modifiers_of(word: re.Match[str]) -> Iterator[str]:
    yield from (PREFIXES[letter] for letter in word["prefixes"])
    yield from (JOINED[suffix] for suffix in re.findall("|".join(JOINED), word["suffixes"]))
    if word["view"] in EXAGGERATED:
        yield "exaggerated"


def _abbreviations_beside(tokens: Sequence[str]) -> Iterator[str]:
    """Yield the modifiers whose abbreviations follow a view or a side; AT, an English word, only as the last one.

    ID stands before a view as well.
    """
    follows = False
    for place, token in enumerate(tokens):
        ahead = next((other for other in tokens[place + 1 :] if other not in SIDE_LETTERS), "")
        if token == "ID" and not follows and _view_word(ahead):
            yield SUFFIXES[token]
        if follows and token in SUFFIXES and (token != "AT" or place == len(tokens) - 1):
            yield SUFFIXES[token]
        elif not (follows and token in SIDE_LETTERS):
            follows = bool(_view_word(token)) or token in SIDE_LETTERS
