"""Concepts of mammography: views (PS3.16 CID 4014), view modifiers (CID 4015) and sides (CID 244).

Each by its codes, SNOMED CT first, then SRT and what was deprecated, and by how people write it.
"""

import re
from typing import NamedTuple

CODE_SCHEMES = ("SCT", "SRT", "SNM3", "99SDM", "")
"""One coding system under four names: CID 4015, note 2. Codes without a name of their system count as its codes."""
SNOMED_URN = re.compile(r"SNOMED|2\.16\.840\.1\.113883\.6\.96")
"""Name or object identifier of the coding system, as a URN contains it."""
UNKNOWN = "unknown"
GAP = r"(?:[^\w\\\ue000-\ue0ff]|_)*"
"""What may stand between the words of a term: no letter, no digit, no backslash, no byte without a meaning."""
CRANIO, CAUDO = "[CK]RAN(?:IO|EO|IALE?)", "[CK]AUD(?:O|ALE?)"
CRANIOCAUDAL = rf"{CRANIO}{GAP}[CK]AUD\w*"
MEDIOLATERAL = rf"MEDI(?:O|ALE?){GAP}LATERA\w*"
LATEROMEDIAL = rf"LATER(?:O|ALE?){GAP}MEDIA\w*"
OBLIQUE = r"(?:OBL[\w\ue000-\ue0ff]*|SCHR\S{1,4}?[G\ue047\ue067][\w\ue000-\ue0ff]*)"
"""English, French, Spanish, Portuguese, Italian, Dutch; German. Letters with accents may be bytes without a meaning."""
DEGREES = rf"\d{{1,2}}O?{GAP}(?:DEG\w*|GRAD\w*|GRAUS?)?"
"""An angle between the words of an oblique view: 45 degree, 45\u00b0, 45 Grad."""


class Term(NamedTuple):
    """A concept of the standard: our name for it, its codes, and how people write it."""

    name: str
    codes: tuple[str, ...]
    spelled: str
    """Pattern of how it is written out, over folded text."""


ENLARGED = r"(?:1[.,][3-9]\d?|[23][.,]\d{1,2})\s?[X\u00d7]|[X\u00d7]\s?(?:1[.,][3-9]\d?|[23][.,]\d{1,2})"
"""A factor of magnification: 1.8X, x1.5."""


def _oblique(lateral: str) -> str:
    return rf"{lateral}{GAP}(?:{DEGREES}{GAP})?{OBLIQUE}|{OBLIQUE}{GAP}(?:{DEGREES}{GAP})?{lateral}"


def _exaggerated(direction: str) -> str:
    return rf"(?:CC|{CRANIOCAUDAL}){GAP}EXAGG\w*{GAP}{direction}|EXAGG\w*{GAP}(?:CC|{CRANIOCAUDAL}){GAP}{direction}"


VIEW_TERMS = (
    Term("XCCL", ("399192008", "R-1024A", "Y-X1770"), _exaggerated(r"LAT\w*")),
    Term("XCCM", ("399101009", "R-1024B", "Y-X1771"), _exaggerated(r"MED\w*")),
    Term("XCC", ("R-102CF",), _exaggerated("")),
    Term("SIO", ("399188001", "R-102D0"), rf"SUPEROLATERAL{GAP}TO{GAP}INFEROMEDIAL{GAP}OBLIQUE"),
    Term("ISO", ("441555000", "R-40AAA"), rf"INFEROMEDIAL{GAP}TO{GAP}SUPEROLATERAL{GAP}OBLIQUE"),
    Term("MLO", ("399368009", "R-10226"), _oblique(rf"(?:{MEDIOLATERAL}|ML)")),
    Term("LMO", ("399099002", "R-10230"), _oblique(rf"(?:{LATEROMEDIAL}|LM)")),
    Term("ML", ("399260004", "R-10224"), MEDIOLATERAL),
    Term("LM", ("399352003", "R-10228"), LATEROMEDIAL),
    Term("CC", ("399162004", "R-10242"), CRANIOCAUDAL),
    Term("FB", ("399196006", "R-10244"), rf"{CAUDO}{GAP}[CK]RANI\w*(?:{GAP}FROM{GAP}BELOW)?|FROM{GAP}BELOW"),
    Term("specimen", ("127457009", "G-8310"), rf"TISSUE{GAP}SPECIMEN{GAP}FROM{GAP}BREAST"),
)
"""The longer ones first: a view that is part of another one's name comes after it."""
MODIFIER_TERMS = (
    Term("cleavage", ("399161006", "R-102D2"), rf"CLEAVAGE|VALLEY{GAP}VIEW"),
    Term("axillary tail", ("399011000", "R-102D1"), rf"AX(?:ILL?(?:ARY|A))?{GAP}TAIL"),
    Term("rolled lateral", ("399197002", "R-102D3"), rf"ROLL(?:ED)?{GAP}LAT(?:ERAL\w*)?"),
    Term("rolled medial", ("399226006", "R-102D4"), rf"ROLL(?:ED)?{GAP}MED(?:IAL\w*)?"),
    Term("rolled inferior", ("414493004", "R-102CA"), rf"ROLL(?:ED)?{GAP}INF(?:ERIOR\w*)?"),
    Term("rolled superior", ("415670009", "R-102C9"), rf"ROLL(?:ED)?{GAP}SUP(?:ERIOR\w*)?"),
    Term("rolled", (), "ROLLED"),
    Term(
        "implant displaced",
        ("399209000", "R-102D5"),
        rf"IMPLANTS?{GAP}(?:DISPL\w*|ID)|DISPLACED{GAP}IMPLANTS?|IMPLANT{GAP}PUSH\w*{GAP}BACK|EKLUND|ID{GAP}VIEWS?",
    ),
    Term(
        "magnification",
        ("399163009", "R-102D6"),
        r"(?:SPOT)?MAG(?:N|VIEW)?S?(?!\W*X?\W*1[.,]0)|MAGNIF\w*|VERGROSSER\w*|AGRANDI\w*|AMPLIA(?:CION|CAO|D[AO])|"
        rf"INGRANDI\w*|VERGROT\w*|LUPENAUFNAHME|{ENLARGED}",
    ),
    Term("spot compression", ("399055006", "R-102D7"), rf"SPOTS?|SPOT(?:MAG|COMP\w*)|CONED?{GAP}(?:DOWN|COMP\w*|VIEW)"),
    Term("tangential", ("399110001", "R-102C2"), r"TANGENT\w*"),
    Term("nipple in profile", ("442581004", "R-40AB3"), rf"NIP(?:PLE)?{GAP}(?:IN{GAP})?PROFILE"),
    Term("anterior compression", ("441752004", "P2-00161"), rf"ANT(?:ERIOR)?{GAP}COMP(?:RESSION)?"),
    Term("infra-mammary fold", ("442593008", "R-40ABE"), rf"INFRA{GAP}MAMMARY{GAP}FOLD|IMF"),
    Term("axillary tissue", ("442580003", "R-40AB2"), rf"AXILL(?:ARY|A){GAP}TISSUE"),
    Term("exaggerated", (), r"EXAGG\w*"),
)
"""Rolled without a direction, and exaggerated, are no terms of CID 4015: people write them beside CC."""
SIDE_TERMS = (
    Term(
        "L",
        ("7771000", "G-A101"),
        r"LEFT|LINK(?:S|E[RSNM]?)|GAUCHE|IZQ|IZQUIERD[AO]|SINISTR[AO]|ESQ|ESQUERD[AO]|左[側侧]?(?:乳[房腺]?)?|좌측?(?:유방)?",
    ),
    Term(
        "R",
        ("24028007", "G-A100"),
        r"RIGHT|RECHT(?:S|E[RSNM]?)|DROITE?|DERECH[AO]|DCHA|DESTR[AO]|DIREIT[AO]|右[側侧]?(?:乳[房腺]?)?|우측?(?:유방)?",
    ),
    Term("B", ("51440002", "G-A102"), r"BILATERAL\w*|BOTH"),
)
"""English, German and Dutch, French, Spanish, Italian, Portuguese, Japanese and Chinese, Korean."""


def whole_words(pattern: str) -> str:
    """Return a pattern that finds whole words only; a byte without a meaning is part of its word."""
    return rf"(?<![^\W_])(?<![\ue000-\ue0ff])(?:{pattern})(?![^\W_])(?![\ue000-\ue0ff])"
