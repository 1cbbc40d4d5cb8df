"""Single words about a view: its abbreviation with what is joined to it, a side, a modifier, a word about the image.

The abbreviations are those of the ACR (PS3.16 CID 4014 and 4015): M or S before a view, ID, RL, TAN ... behind it.
"""

import re

from glam.reading.codes import MODIFIER_TERMS, SIDE_TERMS, whole_words

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
JOINED_SUFFIXES = SUFFIXES | {"SPOT": "spot compression", "MAG": "magnification"}
"""Modifiers that are written behind a view without a blank."""
PREFIXES = {"M": "magnification", "S": "spot compression"}
LETTERS = {"L": "L", "R": "R"}
SHORT_SIDES = LETTERS | {"LT": "L", "RT": "R", "ESQ": "L"}
"""Sides that are written so, and much else too: initials, a radiological technologist, radiotherapy, an esquire."""
SIDES_BEHIND_VIEW = {"L": "L", "E": "L", "I": "L", "G": "L", "R": "R", "D": "R"}
"""Letters of a side behind CC or MLO: esquerda, izquierda, gauche; direita, derecha, droite."""
VIEW_WORD = re.compile(
    r"(?P<side>LEFT|LT|L|RIGHT|RT|R)?(?P<prefixes>[MS]{0,2})"
    r"(?P<view>CC|MLO|ML|LMO|LM|XCCL|XCCM|XCC|SIO|FB)"
    rf"(?P<suffixes>(?:{'|'.join(JOINED_SUFFIXES)})*)(?P<side_behind>(?<=CC)[LREIGD]|(?<=MLO)[LREIGD])?\d{{0,2}}"
)
"""A word that names a view, with what may be joined to it: LMLO, RMCC, CCID, MLOE, MLO2."""
CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
"""Scripts that put no blank between their words and Latin letters."""
WORD = re.compile(
    rf"(?<![^\W_])[CSG][- ]?VIEW(?![^\W_])|[{CJK}]+|(?:[^\W_{CJK}]|[\ue000-\ue0ff])+|"
    r"(?P<sign>[^\w\s,;:.()\[\]{}|\\/\"\u00ab\u00bb\u201c-\u201f\u2022\u00b7\u00d7!-]|"
    r"[:./](?=\s?\d)|(?<=[^\W_])(?<!CC)(?<!MLO)[(\[])"
)
"""A word of a text, a byte without a meaning (glam/reading/charset.py) as a part of it; or a sign that does more than
part words: R&D, l'autre, the colon of L:12, a bracket directly behind a word other than a view: C-View(R)."""
OF_IMAGE = re.compile(
    r"BREAST|BRUST|SEIN|SENO|BORST|MAMM?[AO]?|MAMM?OGR\w*|\u4e73[\u623f\u817a]?|\u30de\u30f3\u30e2\w*|\uc720\ubc29|"
    r"SIDED?|SEITE|MG|DM|FFDM|[23]D|DIGITAL\w*|TOMO\w*|DBT|[CSG][- ]?VIEW|SYNTH\w*|COMBO|HD|RAW|SCREEN\w*|DIAG\w*|"
    r"STANDARD|ROUTINE|BILAT\w*|UNILAT\w*|PNG|DCM|DICOM|JPE?G|TIFF?"
)
"""Words about the breast, the image and its file that may stand beside a view and a side, and change neither."""


def view_word(token: str) -> re.Match[str] | None:
    """Return the parts of a word that names a view.

    M and S before CC, ML and others count behind a side only: SCC is a carcinoma.
    """
    match = VIEW_WORD.fullmatch(token)
    if not match or (match["prefixes"] and not match["side"] and match["view"] != "MLO"):
        return None
    return None if match["side"] and match["side_behind"] else match


def written_side(token: str) -> str:
    """Return the side that a word writes out; "" for any other word."""
    if token in ("LEFT", "RIGHT"):
        return token[0]
    spelled = (term.name for term in SIDE_TERMS[:-1] if re.fullmatch(term.spelled, token))
    return "" if token in SHORT_SIDES else next(spelled, "")


def any_side(token: str) -> str:
    """Return the side that a word beside a view names, be it a letter."""
    return SHORT_SIDES.get(token, "") or written_side(token)


def is_of_view(token: str) -> bool:
    """Return whether a word is a view, a side, the abbreviation of a modifier or a number."""
    return bool(view_word(token) or any_side(token)) or token in SUFFIXES or token.isdecimal()


def is_known(token: str) -> bool:
    """Return whether a word may stand beside a side without changing what it means."""
    return is_of_view(token) or bool(OF_IMAGE.fullmatch(token))


def without_modifiers(folded_text: str) -> str:
    """Return a folded text without the modifiers that are written out in it."""
    for term in MODIFIER_TERMS:
        folded_text = re.sub(whole_words(term.spelled), " ", folded_text)
    return folded_text
