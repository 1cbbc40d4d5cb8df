"""Coded terms of mammography: views (PS3.16 CID 4014), view modifiers (CID 4015) and sides (CID 244).

Each term by its SNOMED CT code, its older SRT code, and the meanings that are written where the code is missing.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from glam.header import items, text

if TYPE_CHECKING:
    from pydicom import Dataset

CODE_SCHEMES = ("SCT", "SRT", "SNM3", "99SDM")
"""One coding system under four names: CID 4015, note 2."""
UNKNOWN = "unknown"


class Term(NamedTuple):
    """A name of ours for a coded concept."""

    name: str
    codes: tuple[str, str]
    """SNOMED CT, SRT."""
    meanings: tuple[str, ...]
    """Code meanings, letters only."""


VIEW_TERMS = (
    Term("CC", ("399162004", "R-10242"), ("craniocaudal", "cranialcaudal")),
    Term("MLO", ("399368009", "R-10226"), ("mediolateraloblique", "mediallateraloblique")),
    Term("ML", ("399260004", "R-10224"), ("mediolateral", "mediallateral")),
    Term("LM", ("399352003", "R-10228"), ("lateromedial", "lateralmedial")),
    Term("LMO", ("399099002", "R-10230"), ("lateromedialoblique", "lateralmedialoblique")),
    Term("FB", ("399196006", "R-10244"), ("caudocranial", "caudalcranial", "frombelow")),
    Term("SIO", ("399188001", "R-102D0"), ("superolateraltoinferomedialoblique",)),
    Term("ISO", ("441555000", "R-40AAA"), ("inferomedialtosuperolateraloblique",)),
    Term("XCCL", ("399192008", "R-1024A"), ("craniocaudalexaggeratedlaterally",)),
    Term("XCCM", ("399101009", "R-1024B"), ("craniocaudalexaggeratedmedially",)),
    Term("specimen", ("127457009", "G-8310"), ("tissuespecimenfrombreast",)),
)
MODIFIER_TERMS = (
    Term("cleavage", ("399161006", "R-102D2"), ("cleavage",)),
    Term("axillary tail", ("399011000", "R-102D1"), ("axillarytail",)),
    Term("rolled lateral", ("399197002", "R-102D3"), ("rolledlateral",)),
    Term("rolled medial", ("399226006", "R-102D4"), ("rolledmedial",)),
    Term("rolled inferior", ("414493004", "R-102CA"), ("rolledinferior",)),
    Term("rolled superior", ("415670009", "R-102C9"), ("rolledsuperior",)),
    Term("implant displaced", ("399209000", "R-102D5"), ("implantdisplaced",)),
    Term("magnification", ("399163009", "R-102D6"), ("magnification",)),
    Term("spot compression", ("399055006", "R-102D7"), ("spotcompression", "spot")),
    Term("tangential", ("399110001", "R-102C2"), ("tangential",)),
    Term("nipple in profile", ("442581004", "R-40AB3"), ("nippleinprofile",)),
    Term("anterior compression", ("441752004", "P2-00161"), ("anteriorcompression",)),
    Term("infra-mammary fold", ("442593008", "R-40ABE"), ("inframammaryfold",)),
    Term("axillary tissue", ("442580003", "R-40AB2"), ("axillarytissue",)),
)
SIDE_TERMS = (
    Term("L", ("7771000", "G-A101"), ("left",)),
    Term("R", ("24028007", "G-A100"), ("right",)),
    Term("B", ("51440002", "G-A102"), ("bilateral",)),
)


def term_names(dataset: "Dataset", sequence: str, terms: Sequence[Term]) -> tuple[str, ...]:
    """Return the names of a sequence's coded items in their order, each once; UNKNOWN for one that is not in `terms`.

    An item counts by its code; where that is missing, or of a private scheme, by its meaning.
    """
    names = (_term_name(item, terms) for item in items(dataset, sequence))
    return tuple(dict.fromkeys(name for name in names if name))


def _term_name(item: "Dataset", terms: Sequence[Term]) -> str:
    """Return the name of a coded item; "" for one without code and meaning."""
    code, scheme = text(item, "CodeValue"), text(item, "CodingSchemeDesignator")
    if code and scheme in CODE_SCHEMES:
        return next((term.name for term in terms if code in term.codes), UNKNOWN)
    meaning = re.sub(r"[^a-z]", "", text(item, "CodeMeaning").lower())
    named = next((term.name for term in terms if meaning in term.meanings), UNKNOWN)
    return named if code or meaning else ""
