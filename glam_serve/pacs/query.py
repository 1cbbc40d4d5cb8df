"""Questions to a PACS: which studies, which series, and what the headers of their images say (PS3.18 10.6, 10.4)."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from glam_serve.pacs.answer import Answer, Patience, is_json
from glam_serve.pacs.connection import JSON_TYPES, Connection
from glam_serve.pacs.troubles import PacsRefusal, spoiled

PAGE = 200
"""Matches that are asked for at a time."""
UID = re.compile(r"[0-9][0-9.]{0,63}")
"""Looser than the standard, as archives are; no `..`, which is another place of the service."""
STUDY_UID, SERIES_UID, IMAGE_UID, MODALITY, NUM_IMAGES = "0020000D", "0020000E", "00080018", "00080060", "00201208"
ISSUER = "00100021"
"""Of the patient's number."""
MAMMOGRAPHY = "MG"
JsonHeader = Mapping[str, Any]
"""A data set as DICOM JSON (PS3.18 F)."""
Ask = Callable[[], Patience]
"""Makes the patience of one request."""


class StudyMatch(NamedTuple):
    """A study that a PACS has."""

    uid: str
    """"": it names none, or one that cannot be asked for."""
    num_images: int | None
    """Of all kinds; None: the PACS does not say."""
    row: str = ""
    """What the PACS said of one without a UID, in one form."""


def read_filters(texts: Sequence[str]) -> list[dict[str, str]]:
    """Return the queries that KEY=VALUE filters make; `@FILE` stands for the lines of a file.

    Several values of one key make several queries, whose matches are put together. ValueError for a key that is no
    attribute of the standard.
    """
    values: dict[str, list[str]] = {}
    for text in _lines(texts):
        name, equals, value = text.partition("=")
        key = _keyword(name.strip())
        if not equals or not value.strip() or not key:
            example = "such as StudyDate=20240101-20241231"
            raise ValueError(f"--query takes KEY=VALUE with an attribute's keyword or its eight digits, {example}")
        values.setdefault(key, []).append(value.strip())
    values.setdefault("ModalitiesInStudy", [MAMMOGRAPHY])
    return [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]


def _lines(texts: Sequence[str]) -> Iterator[str]:
    for text in texts:
        if not text.startswith("@"):
            yield text
            continue
        try:
            lines = Path(text[1:]).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError):
            raise ValueError(f"--query {text}: the file cannot be read as text") from None
        yield from (line for line in map(str.strip, lines) if line and not line.startswith("#"))


def _keyword(name: str) -> str:
    """Return the keyword of an attribute by that or by its eight digits; a private one's digits; "" for none."""
    from pydicom.datadict import keyword_for_tag, tag_for_keyword

    if re.fullmatch("[0-9A-Fa-f]{8}", name):
        return keyword_for_tag(int(name, 16)) or name.upper()
    return name if tag_for_keyword(name) is not None else ""


def studies(connection: Connection, filters: Mapping[str, str], patience: Ask) -> Iterator[StudyMatch]:
    """Yield the studies that match, each once, in the order of the PACS."""
    for match in _matches(connection, "/studies", filters, STUDY_UID, patience):
        uid = uid_of(match, STUDY_UID)
        yield StudyMatch(uid, _number(match, NUM_IMAGES), "" if uid else _one_form(match))


def series_of(connection: Connection, study: str, modality: str, patience: Ask) -> list[str]:
    """Return the UIDs of a study's series of a modality; "" for one that has none."""
    matches = _matches(connection, f"/studies/{study}/series", {"Modality": modality}, SERIES_UID, patience)
    return [uid_of(match, SERIES_UID) for match in matches if text_of(match, MODALITY) in ("", modality)]


def headers_of(connection: Connection, study: str, series: str, patience: Ask) -> list[JsonHeader]:
    """Return the headers of the images of a series."""
    return connection.ask(
        f"/studies/{study}/series/{series}/metadata", _headers, accept=JSON_TYPES, patience=patience()
    )


def uid_of(header: JsonHeader, tag: str) -> str:
    """Return a UID; "" for none, or for one that would be another place of the service."""
    uid = text_of(header, tag)
    return uid if UID.fullmatch(uid) else ""


def text_of(header: JsonHeader, tag: str) -> str:
    """Return the first value of an attribute, "" where there is none."""
    values = header[tag].get("Value") if isinstance(header.get(tag), dict) else None
    first = values[0] if isinstance(values, list) and values else ""
    return str(first).strip(" \0") if isinstance(first, str | int | float) else ""


def _one_form(header: JsonHeader) -> str:
    return json.dumps(header, sort_keys=True)


def _number(header: JsonHeader, tag: str) -> int | None:
    text = text_of(header, tag)
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else None


def _matches(
    connection: Connection, path: str, filters: Mapping[str, str], tag: str, patience: Ask
) -> Iterator[JsonHeader]:
    """Yield all matches, page after page; PacsRefusal where the service keeps some to itself.

    A page that is short is not the last one: services count what they do not show, and have limits of their own. The
    last one brings nothing new; so does each but the first of a service that knows no offset.
    """
    seen: set[str] = set()
    offset = 0
    while True:
        parameters = dict(filters) | {"limit": str(PAGE), "offset": str(offset)}
        page, has_more = connection.ask(path, _page, accept=JSON_TYPES, patience=patience(), parameters=parameters)
        before = len(seen)
        for match in page:
            name = uid_of(match, tag) or _one_form(match)
            if name not in seen:  # a page may have it twice
                seen.add(name)
                yield match
        if len(seen) == before:
            if page and (has_more or len(page) == PAGE):
                raise PacsRefusal("pacs_paging")
            return
        offset += len(page)


def _page(answer: Answer) -> tuple[list[JsonHeader], bool]:
    return _headers(answer), answer.has_more


def _headers(answer: Answer) -> list[JsonHeader]:
    """Return the objects of an answer; none for one without content."""
    if answer.status == 204 or not answer.body.strip():
        return []
    if not is_json(answer.content_type):
        raise PacsRefusal("pacs_malformed")
    try:
        content = json.loads(bytes(answer.body))
    except (ValueError, RecursionError):
        raise spoiled("pacs_malformed") from None
    if not isinstance(content, list) or not all(isinstance(header, dict) for header in content):
        raise PacsRefusal("pacs_malformed")
    return content
