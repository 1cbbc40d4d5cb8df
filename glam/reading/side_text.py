"""Words of a text that only look like a side or a view: R/O, L-spine, left arm, no left, a CCD; they are blanked out.

A side that may be another word is none: the request can name it, and a wrong side is worse than none.
"""

import re
from collections.abc import Callable
from enum import Enum

from glam.reading.codes import SIDE_TERMS, whole_words
from glam.reading.denied import WINDOW, is_denied
from glam.reading.view_words import (
    OF_BREAST,
    OF_FILE,
    TOKEN,
    any_side,
    belongs_to_view,
    is_modifier,
    is_of_view,
    view_word,
    without_modifiers,
)

BODY_PARTS = (
    r"ARMS?|FOREARMS?|HANDS?|SHOULDERS?|HIPS?|KNEES?|LEGS?|FOOT|FEET|SPINE|WRISTS?|ELBOWS?|FINGERS?|NECK|LUNGS?|KIDNEYS?|"
    r"EYES?|EARS?|THIGHS?|ANKLES?|RIBS?|CLAVICLES?|SCAPULAE?|HEMITHORAX|OVARY|OVARIES|THYROID|TEMPLE|CHEEK|LOBE|VENTRICLE|"
    r"SCHULTERN?|HANDE|HUFTEN?|KNIE|BEINE?|FUSS|FUSSE|WIRBELSAULE|ELLBOGEN|LUNGE|NIERE|AUGE|OHR|"
    r"BRAS|MAIN|EPAULE|HANCHE|GENOU|JAMBE|PIED|COLONNE|POIGNET|COUDE|DOIGT|POUMON|REIN|OEIL|OREILLE|CUISSE|"
    r"BRAZO|MANO|HOMBRO|CADERA|RODILLA|PIERNA|PIE|COLUMNA|MUNECA|CODO|DEDO|PULMON|RINON|OJO|OIDO|"
    r"BRACCIO|SPALLA|ANCA|GINOCCHIO|GAMBA|PIEDE|COLONNA|POLSO|GOMITO|DITO|POLMONE|RENE|OCCHIO|ORECCHIO|"
    r"SCHOUDER|HEUP|VOET|WERVELKOLOM|POLS|ELLEBOOG|VINGER|NIER|OOG|OOR|"
    r"BRACO|M\u00c3O|MAO|OMBRO|QUADRIL|JOELHO|PERNA|P\u00c9|COLUNA|PUNHO|COTOVELO|PULMAO|RIM|OLHO|OUVIDO"
)
"""English, German, French, Spanish, Italian, Dutch, Portuguese."""
REMOVED_BREAST = r"MASTE[CK]TOM\w*|ABLATI\w*|AMPUTA\w*"
"""Operations after which a side is the one that cannot be imaged."""
GAP = r"[\s_-]+"
OTHER_NOUN_BEHIND = re.compile(
    rf"{GAP}(?:(?:UPPER|LOWER|DISTAL|PROXIMAL|TOTAL|SIMPLE|RADICAL)\s+)?(?:{BODY_PARTS}|{REMOVED_BREAST})(?![^\W_])"
)
OTHER_NOUN_BEFORE = re.compile(
    rf"(?<![^\W_])(?:(?:{BODY_PARTS}){GAP}|(?:{REMOVED_BREAST})[\s,_-]+(?:(?:MAMMAE?|OF|THE|DE|LA|DER|BREAST)\s+)*)$"
)
VERBS_BEHIND = {
    "LEFT": r"CORNER|EDGE|IN\s+(?:PLACE|SITU)|BEHIND|EARLY|OVER|OUT|OFF|BLANK",
    "RIGHT": r"AWAY|CORNER|EDGE|ANGLED?S?|NOW|SIZED?|POSITION\w*|TECHNIQUE|AFTER|BEFORE",
    "RT": r"PLANN\w*|THERAPY|TECH\w*|BOOST|FIELDS?|DOSE",
    "LT": r"COL|COLONEL|GEN|CMDR",
}
"""What follows a word of a side that is another one: left behind, right away, RT planning, Lt. Col."""
VERBS_BEFORE = {
    "LEFT": r"TOP|BOTTOM|UPPER|LOWER|WAS|WERE|BEEN|HAS|HAD|NOTHING|PATIENT|PT",
    "RIGHT": r"ALL|TOP|BOTTOM|UPPER|LOWER",
    "RT": r"POST|AFTER|S/P|PRIOR|PRE|DURING|FOR|NACH",
}
JOINED_BEHIND = re.compile(r"(?:[-'+]\s?|\s*[/&]\s*)([^\W_]+)")
"""The word that a written side is joined to by the sign behind it."""
SIDED = re.compile(r"SIDED?|SEITIG\w*|SEITE")
OPENING = re.compile(r"(?:^|[\s_,;:\\(\[{<|\"\u00ab\u00bb\u201c-\u201f\u2022\u00b7\u00d7])$")
CLOSING = re.compile(r"$|[\s_,;\\)\]}>|\"\u00ab\u00bb\u201c-\u201f!]|[.:](?=$|[\s_,;)\]])")
"""What stands directly before and behind a letter that is a word of its own."""
SIGN_BEFORE = re.compile(r"[&+=@#%*?]\s*$")
SIGN_BEHIND = re.compile(r"\s*[&+=@#%*?]")
"""Signs that make a letter a part of something else: R&D, R=1."""
LINK_BEFORE = re.compile(r"([^\W_]+)(\s?-|\s*/\s*|\.)$")
LINK_BEHIND = re.compile(r"(-\s?|\s+-(?=[^\W\d_])|\s*/\s*|[.:])([^\W_]+)")
BRACKET_AT_WORD = re.compile(r"([^\W_]+)[(\[]$")
"""A bracket without a blank before it, as of a registered sign: View(R)."""
TITLES = re.compile(r"(?<![^\W_])R\.?T\.?\s*(?:\([A-Z]{1,3}\))+|(?<![^\W_])CC\s*:|(?<![^\W_])CC\s+TO(?![^\W_])")
"""Titles of technologists, as in RT(R)(M); the carbon copy of a letter."""
SHORT_SIDE = re.compile(whole_words("LT|RT|L|R|B"))
WRITTEN_SIDE = re.compile(whole_words("|".join(["LEFT", "RIGHT", *(term.spelled for term in SIDE_TERMS[:-1])])))
CC_AND_SIDE = re.compile(whole_words(r"CC[LREIGD]\d{0,2}"))
DETECTOR_OR_INDEX = re.compile(whole_words(r"CC[DI]\d{0,2}"))
"""CCD and CCI are much else: they count where nothing but a view stands beside them."""

IsOther = Callable[[str, int, int], bool]
"""Whether a part of a text, from start to end, is another word than it looks like."""


class Link(Enum):
    """What a letter is joined to by a dash, a slash or a full stop."""

    NONE = "nothing"
    VIEW = "a view, or by a slash the other side"
    IMAGE = "a modifier or a word about the image"
    NUMBER = "a number, or a word with a digit: it needs a view on the other side"
    OTHER = "another word"


def without_other_words(folded_text: str) -> str:
    """Return a folded text without what only looks like a side or a view, blanks in its place."""
    kept = TITLES.sub(" ", folded_text)
    kept = _without(SHORT_SIDE, kept, _is_no_word_of_its_own)
    kept = _without(WRITTEN_SIDE, kept, _is_joined_to_other_word)
    for pattern in (SHORT_SIDE, WRITTEN_SIDE):
        kept = _without(pattern, kept, _is_of_other_noun)
    kept = _without(TOKEN, kept, _is_denied_view_or_side)
    return _without_detectors(kept)


def _without(pattern: re.Pattern[str], text: str, is_other: IsOther) -> str:
    """Return a text without the matches of a pattern that are another word; each is judged in the whole text."""
    spans = [match.span() for match in pattern.finditer(text) if is_other(text, *match.span())]
    for start, end in spans:
        text = text[:start] + " " * (end - start) + text[end:]
    return text


def _around(text: str, start: int, end: int) -> tuple[str, str]:
    return text[max(0, start - WINDOW) : start], text[end : end + WINDOW]


def _is_no_word_of_its_own(text: str, start: int, end: int) -> bool:
    """Return whether a letter is a part of something else: joined by a sign, or by a dash to another word."""
    before, behind = _around(text, start, end)
    if SIGN_BEFORE.search(before) or SIGN_BEHIND.match(behind):
        return True
    if (bracket := BRACKET_AT_WORD.search(before)) and not _is_near_view(bracket[1]):
        return True
    links = (_link_before(text[start:end], before), _link_behind(text[start:end], behind))
    return Link.OTHER in links or (Link.NUMBER in links and Link.VIEW not in links)


def _link_before(letter: str, before: str) -> Link:
    """Return what a letter is joined to before it; a word of a file's name (Smith-R-MLO) is as good as a number."""
    if not (match := LINK_BEFORE.search(before)):
        return Link.NONE if OPENING.search(before) else Link.OTHER
    link = _link(letter, match[2], match[1])
    is_name = link == Link.OTHER and match[2] == "-" and len(match[1]) > 2
    return Link.NUMBER if is_name else link


def _link_behind(letter: str, behind: str) -> Link:
    if match := LINK_BEHIND.match(behind):
        return _link(letter, match[1], match[2])
    return Link.NONE if CLOSING.match(behind) else Link.OTHER


def _link(letter: str, sign: str, token: str) -> Link:
    """Return what a letter is joined to by a sign."""
    is_slash = "/" in sign
    other_side = any_side(token) if is_slash else ""
    if view_word(token) or (other_side and other_side != any_side(letter)):
        return Link.VIEW
    if is_modifier(token) or (OF_BREAST.fullmatch(token) and not is_slash):
        return Link.IMAGE
    return Link.NUMBER if OF_FILE.fullmatch(token) and token != "C" and not is_slash else Link.OTHER


def _is_near_view(token: str) -> bool:
    return bool(view_word(token) or any_side(token)) or is_modifier(token)


def _is_joined_to_other_word(text: str, start: int, end: int) -> bool:
    """Return whether a written side is the first part of another word: left-handed, right/wrong."""
    joined = JOINED_BEHIND.match(_around(text, start, end)[1])
    return joined is not None and not (
        belongs_to_view(joined[1]) or is_modifier(joined[1]) or SIDED.fullmatch(joined[1])
    )


def _is_of_other_noun(text: str, start: int, end: int) -> bool:
    """Return whether a side is that of another part of the body or of a breast that was removed, or no side at all."""
    before, behind = _around(text, start, end)
    word = text[start:end]
    if OTHER_NOUN_BEHIND.match(behind) or (len(word) > 1 and OTHER_NOUN_BEFORE.search(before)):
        return True
    verb_behind, verb_before = VERBS_BEHIND.get(word), VERBS_BEFORE.get(word)
    is_verb = verb_behind and re.match(rf"{GAP}(?:{verb_behind})(?![^\W_])", behind)
    return bool(is_verb or (verb_before and re.search(rf"(?<![^\W_])(?:{verb_before}){GAP}$", before)))


def _is_denied_view_or_side(text: str, start: int, end: int) -> bool:
    token = text[start:end]
    return bool(view_word(token) or any_side(token)) and is_denied(text, start, end)


def _without_detectors(text: str) -> str:
    """Return a text without CCD, CCI and their like where words stand beside them that are of no view."""
    tokens = TOKEN.findall(without_modifiers(text))
    others = [token for token in tokens if not CC_AND_SIDE.fullmatch(token)]
    names_other_view = any((word := view_word(token)) and word["view"] != "CC" for token in others)
    if names_other_view or not all(map(belongs_to_view, others)):
        return CC_AND_SIDE.sub(" ", text)
    is_alone = all(map(is_of_view, others))
    return text if is_alone else DETECTOR_OR_INDEX.sub(" ", text)
