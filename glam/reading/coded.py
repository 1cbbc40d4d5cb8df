"""Coded items of a header -> the concepts of mammography that they name, by their codes or by their meanings."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from glam.reading.charset import folded
from glam.reading.codes import CODE_SCHEMES, OBLIQUE, SNOMED_URN, UNKNOWN, Term, whole_words
from glam.reading.denied import is_denied
from glam.reading.header import items, text

if TYPE_CHECKING:
    from pydicom import Dataset


def term_names(dataset: "Dataset", sequence: str, terms: Sequence[Term]) -> tuple[str, ...]:
    """Return the names of a sequence's coded items in their order, each once; UNKNOWN for one that is not in `terms`.

    An item counts by its code; where that is missing, or of a private scheme, by its meaning, which may name several.
    """
    names = (name for item in items(dataset, sequence) for name in _term_names(item, terms))
    return tuple(dict.fromkeys(names))


def coded_names(dataset: "Dataset", sequence: str, terms: Sequence[Term]) -> tuple[str, ...]:
    """Return the names of those items only that count by their code; UNKNOWN for a code that is not in `terms`."""
    return tuple(name for item in items(dataset, sequence) if (name := _coded_name(item, terms)))


def meanings(dataset: "Dataset", sequence: str, terms: Sequence[Term]) -> tuple[str, ...]:
    """Return the meanings of the items that count by their meaning."""
    return tuple(text(item, "CodeMeaning") for item in items(dataset, sequence) if not _coded_name(item, terms))


def _coded_name(item: "Dataset", terms: Sequence[Term]) -> str:
    """Return the name of an item by its code, UNKNOWN for one of SNOMED's outside `terms`; "" for no such code."""
    code, is_snomed = _code(item)
    coded = next((term.name for term in terms if is_snomed and code in term.codes), "")
    return coded or (UNKNOWN if is_snomed and text(item, "CodingSchemeDesignator") else "")


def _term_names(item: "Dataset", terms: Sequence[Term]) -> tuple[str, ...]:
    """Return the names of a coded item; none for one without code and meaning."""
    if name := _coded_name(item, terms):
        return (name,)
    meaning = folded(text(item, "CodeMeaning")).strip()
    return (_meant(meaning, terms) or (UNKNOWN,)) if meaning or _code(item)[0] else ()


def _meant(meaning: str, terms: Sequence[Term]) -> tuple[str, ...]:
    """Return the names of the terms in a folded meaning, those that nothing denies, the longest ones first.

    A lateral view is an oblique one as well, where the word oblique stands apart from it.
    """
    if exact := [term.name for term in terms if term.name.upper() == meaning]:
        return (exact[0],)
    rest, names = meaning, list[str]()
    for term in terms:
        abbreviated = f"|{term.name.upper()}" if len(term.name) > 1 else ""
        spans = [match.span() for match in re.finditer(whole_words(term.spelled + abbreviated), rest)]
        if any(not is_denied(rest, *span) for span in spans):
            names.append(term.name)
        for start, end in spans:
            rest = rest[:start] + "." * (end - start) + rest[end:]
    is_oblique = re.search(whole_words(OBLIQUE), rest)
    return (*names, *(f"{name}O" for name in names if is_oblique and name in ("ML", "LM")))


def _code(item: "Dataset") -> tuple[str, bool]:
    """Return the code of an item, and whether it is one of SNOMED's. PS3.3 8.1, 8.2.

    A code stands in one of three attributes by its length and its form.
    """
    scheme = text(item, "CodingSchemeDesignator").strip().upper()
    if code := text(item, "CodeValue").strip() or text(item, "LongCodeValue").strip():
        return code, scheme in CODE_SCHEMES
    urn = text(item, "URNCodeValue").strip()
    return re.split(r"[/:#|=.]", urn)[-1], bool(SNOMED_URN.search(urn.upper())) or scheme in CODE_SCHEMES[:-1]
