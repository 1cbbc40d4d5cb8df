"""What a report says of a breast: its facts and findings, in the words of BI-RADS; findings to JSON and back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from glam.words import wording
from glam.words.labels import BIRADS_NAMES, DENSITY_NAMES, Label

META_FIELDS = ("race", "age", "ethnicity", "image_type", "laterality", "view")
"""Facts that are no finding: the released code masks these; procedure and reason it leaves."""


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """One finding in the words of BI-RADS (`wording.LESION_WORDS`); an empty string or None is unknown."""

    kind: str
    shape: str = ""
    margin: str = ""
    density: str = ""
    calc_type: str = ""
    distribution: str = ""
    depth: str = ""
    location: str = ""
    size_mm: float | None = None

    def __post_init__(self) -> None:
        for name, words in wording.LESION_WORDS.items():
            word = getattr(self, name)
            if word not in words and (word != "" or name == "kind"):
                raise ValueError(f"a finding's {name} {word!r} is none of: {', '.join(words)}")
        size = self.size_mm
        if size is not None and not (isinstance(size, int | float) and 0 < size < 1000):
            raise ValueError(f"a finding's size_mm {size!r} is no length in millimetres")

    def as_json(self) -> dict[str, Any]:
        """Return what is known, as a JSON object."""
        return {name: value for name, value in asdict(self).items() if value not in ("", None)}


def lesion_from_json(data: Mapping[str, Any]) -> Lesion:
    """Return the finding that `Lesion.as_json` wrote; an unknown key or word is a ValueError."""
    if not isinstance(data, Mapping):
        raise ValueError(f"a finding is a JSON object, not {data!r}")
    names = [field.name for field in fields(Lesion)]
    if unknown := sorted(set(data) - set(names)):
        raise ValueError(f"a finding has no {', '.join(map(repr, unknown))}; it has: {', '.join(names)}")
    values: dict[str, Any] = {"kind": "", **data}
    return Lesion(**values)


def lesions_from_text(text: str) -> tuple[Lesion, ...]:
    """Return the findings of a manifest's cell, a JSON list; an empty cell has none."""
    if not text.strip():
        return ()
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"findings are no JSON: {error}") from None
    if not isinstance(data, list):
        raise ValueError("findings are a JSON list of objects, one a finding")
    return tuple(lesion_from_json(item) for item in data)


def lesions_as_text(lesions: Sequence[Lesion]) -> str:
    """Return the manifest's cell: a JSON list, or nothing when there is no finding."""
    return json.dumps([lesion.as_json() for lesion in lesions]) if lesions else ""


@dataclass(frozen=True, kw_only=True)
class ReportFacts:
    """What a report says of one view of one breast; an empty string or None is unknown.

    `lesions` lists every finding that was described. Empty with BI-RADS 1: there is none; empty with another
    category: nobody wrote them down.
    """

    procedure: str = ""
    reason: str = ""
    race: str = ""
    ethnicity: str = ""
    age: int | None = None
    image_type: str = ""
    laterality: str = ""
    view: str = ""
    density: str = ""
    birads: int | None = None
    lesions: tuple[Lesion, ...] = ()

    def __post_init__(self) -> None:
        allowed: dict[str, tuple[Label | None, ...]] = {
            "laterality": ("", *wording.SIDES),
            "view": ("", "CC", "MLO"),
            "density": ("", *DENSITY_NAMES),
            "birads": (None, *BIRADS_NAMES),
        }
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise ValueError(f"{name} {getattr(self, name)!r} is none of: {', '.join(map(repr, values))}")


def mask_meta(facts: ReportFacts, *, ratio: float, rng: np.random.Generator) -> ReportFacts:
    """Make each of META_FIELDS unknown with probability `ratio`; always takes as many draws from `rng`."""
    hidden = rng.random(len(META_FIELDS)) < ratio
    values = {name: None if name == "age" else "" for name, hide in zip(META_FIELDS, hidden, strict=True) if hide}
    return replace(facts, **values)
