"""One generation of a provenance: the fields it may have, what they must hold, and what it permits.

A provenance is a JSON object about one generation of weights (`glam.licence`). Whatever could be read as less than it
seems is refused: a field under another name, a list that is none, other data hidden inside that of phantoms.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from glam.files import JsonDict

ACTIONS = ("serve", "share")
STATED = "stated_by_exporter"
FIELDS = ("data", "synthetic", "licence", "permits", "start_from", "weights_sha256", STATED)
"""The fields of a provenance that the rule, or whoever judges its answer, reads; others are carried along."""
RECORDED = frozenset({"data", "synthetic", "start_from"})
"""Fields that only the record beside the weights can vouch for: what an exporter states in them permits nothing."""
PHANTOMS = "phantoms"
"""`data.kind` of the synthetic breasts of this repository, the only data that need no licence."""
OF_PHANTOMS = frozenset(
    {
        *FIELDS,
        "objective",
        "method",
        "correspondence",
        "updates",
        "pairs_per_update",
        "seed",
        "commit",
        "phases",
        "report_style",
        "metrics",
    }
)
OF_PHANTOM_DATA = frozenset(
    {"kind", "seed", "conspicuous_share", "conspicuous", "natural", "pairs", "records_sha256", "places"}
)
"""What glam-train writes of a training on phantoms. As such a record permits without a licence, it may hold no more."""
NO_LICENCE_NEEDED = "none needed: synthetic phantoms, no patient"
NOTHING_SAID = re.compile(
    r"[\W\d_]*|n\W?a|(none|no|nil|null|nan|missing)\b.*|(to be|not) \w+.*|true|false|"
    r".*\b(unknown|unlicen[sc]ed|unclear|pending|undecided|tb[acd]|todo|un(specified|defined|stated))\b.*"
)
"""What people write where they know nothing, of a licence or of data."""
FORBIDDEN = re.compile(
    r"(\bnot|n\Wt|\bcannot|\bnever|\bno)\b.*\b(shar|serv|pass|publi|re\W?distribut|distribut|releas|leav|transfer)|"
    r"\b(prohibit|forbid|confidential|internal\b.*\bonly|only\b.*\binternal)"
)
"""A licence that is described by what it forbids."""

_OTHER_NAMES = {
    "licence": ("license", "licensing", "copyright"),
    "permits": (
        *("permission", "permissions", "permitted", "allow", "allows", "allowed", "forbids", "forbidden"),
        *("restrictions", "terms", "mayserve", "mayshare"),
    ),
    "start_from": ("start", "parent", "base", "basemodel", "pretrained", "finetunedfrom", "initfrom"),
    "synthetic": ("issynthetic",),
}
"""What people call a field, in small letters without marks."""


class LicenceError(ValueError):
    """A provenance that cannot be followed, or something that it does not permit."""


def permitted_by(generation: JsonDict) -> tuple[str, ...]:
    """Return the actions that a checked generation permits, whatever those before it do.

    Nothing, unless it says what it was trained on and what it started from, and a record beside the weights said it.
    """
    is_recorded = RECORDED.isdisjoint(generation.get(STATED, ()))
    if not is_recorded or "start_from" not in generation or not _says_something(generation.get("data")):
        return ()
    if "permits" in generation:
        return tuple(generation["permits"])
    return ACTIONS if generation.get("synthetic", False) else ()


def check_generation(generation: Any, where: str) -> None:
    """LicenceError, naming the place, for what is no provenance, and for fields of no or of a hidden meaning."""
    if not isinstance(generation, dict):
        raise LicenceError(f"{where} is not a JSON object with data and licence")
    for key in generation:
        field = _field_meant(str(key))
        if field is not None and key != field:
            raise LicenceError(f"{where} has a field {key!r}: write {field!r}, or call it otherwise if it is none")
    faults = (_synthetic_fault(generation), _licence_fault(generation), _permits_fault(generation))
    for fault in (*faults, _stated_fault(generation)):
        if fault is not None:
            raise LicenceError(f"{where}: {fault}")


def names_licence(generation: JsonDict) -> bool:
    """Say whether a generation names a licence, beyond the words for having none."""
    licence = generation.get("licence")
    if licence == NO_LICENCE_NEEDED:
        return generation.get("synthetic", False) is True
    return isinstance(licence, str) and _says_something(licence)


def _says_something(value: object) -> bool:
    """Say whether a value is more than nothing in JSON, and more than the words for nothing."""
    return not NOTHING_SAID.fullmatch(_plain(value)) if isinstance(value, str) else bool(value)


def _plain(text: str) -> str:
    """Return a text in small letters of plain width, without marks around it and without characters not seen."""
    seen = "".join(letter for letter in unicodedata.normalize("NFKC", text) if unicodedata.category(letter) != "Cf")
    return re.sub(r"^\W+|\W+$", "", seen.strip().lower())


def _field_meant(key: str) -> str | None:
    """Return the field that a key stands for, under its own name, another, a misspelt one or one that looks alike."""
    if key in FIELDS:
        return key
    letters = [letter for letter in key if letter.isalpha()]
    is_latin = {unicodedata.name(letter, "").startswith("LATIN") for letter in letters}
    plain = _letters(key)
    for field in FIELDS:
        names = (_letters(field), *_OTHER_NAMES.get(field, ()))
        cutoff = 0.84 if len(is_latin) < 2 else 0.6  # letters of another script among Latin ones look like them
        if plain in names or difflib.get_close_matches(plain, names[:1], cutoff=cutoff):
            return field
    return None


def _letters(key: str) -> str:
    """Return the Latin letters and digits of a key, small and without accents."""
    return re.sub("[^a-z0-9]", "", unicodedata.normalize("NFKD", key).lower())


def _synthetic_fault(generation: JsonDict) -> str | None:
    synthetic, data = generation.get("synthetic", False), generation.get("data")
    if type(synthetic) is not bool:
        return f"synthetic is true or false, not {synthetic!r}"
    if not synthetic:
        return None
    if generation.get("licence") not in (None, NO_LICENCE_NEEDED) and "permits" not in generation:
        licence = generation["licence"]
        return f"synthetic phantoms need no licence, and {licence!r} is one: say with permits what it permits"
    if not (isinstance(data, dict) and data.get("kind") == PHANTOMS):
        return f'synthetic is said of data whose kind is not "{PHANTOMS}": leave it out, and name licence and permits'
    for name in _names_within(generation):
        if name == "kind" or _field_meant(name) is not None:
            return f"synthetic is said of data that hold {name!r} of other data: leave synthetic out"
    if strange := sorted({*generation} - OF_PHANTOMS) + sorted({*data} - OF_PHANTOM_DATA):
        return (
            f"synthetic is said of a record with {strange[0]!r}, which no record of phantoms has: leave synthetic out"
        )
    return None


def _names_within(generation: JsonDict) -> Iterator[str]:
    """Yield the names of fields at every depth below those of a generation, beside the kind of its data."""
    pending: list[Any] = [value for key, value in generation.items() if key not in ("data", "start_from", "metrics")]
    pending.append({key: value for key, value in generation["data"].items() if key != "kind"})
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            yield from map(str, value)
            pending += value.values()
        elif isinstance(value, list):
            pending += value


def _licence_fault(generation: JsonDict) -> str | None:
    licence = generation.get("licence")
    if not isinstance(licence, str | None):
        return f"licence is a text, not {licence!r}"
    if licence == NO_LICENCE_NEEDED and not generation.get("synthetic", False):
        return f"{licence!r} is said of data that are not synthetic: name their licence"
    return None


def _permits_fault(generation: JsonDict) -> str | None:
    if "permits" not in generation:
        return None
    permits = generation["permits"]
    if not isinstance(permits, list) or any(action not in ACTIONS for action in permits):
        return f'permits is a list of "serve" and "share", not {permits!r}'
    if len(set(permits)) < len(permits):
        return f"permits names an action twice: {permits!r}"
    if permits and not names_licence(generation):
        return "permits rests on a licence: name it"
    if permits and FORBIDDEN.search(_plain(generation["licence"])):
        return "the licence forbids in words what permits lists: leave permits out, or give the licence by its name"
    return None


def _stated_fault(generation: JsonDict) -> str | None:
    stated = generation.get(STATED, [])
    if not isinstance(stated, list) or any(field not in FIELDS for field in stated):
        return f"{STATED} is a list of fields, written by glam-export: leave it out"
    return None
