"""What a PACS says about the studies that match: which images they have, and what their headers say."""

import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from glam.findings import InputError
from glam.reading.header import broken_errors, quiet_pydicom
from glam.reading.identify import ImageIdentity, identify_header
from glam.store.pseudonyms import patient_name, pseudonym
from glam.store.schema import Problem
from glam_serve.cohort.decoders import InterruptedRun
from glam_serve.pacs.access import PacsAccess
from glam_serve.pacs.answer import Patience
from glam_serve.pacs.catalogue import Catalogue, ImageRecord, StudyRecord, exam_name
from glam_serve.pacs.connection import JSON_TYPES, PROBE, Connection
from glam_serve.pacs.query import (
    IMAGE_UID,
    ISSUER,
    Ask,
    JsonHeader,
    StudyMatch,
    headers_of,
    series_of,
    studies,
    text_of,
    uid_of,
)
from glam_serve.pacs.troubles import BAD_UID, REFUSALS, PacsRefusal

ASKED_TOGETHER = 4
"""Studies that a PACS is asked about at a time."""
BATCH = 64
"""Studies that are put on the disk together."""
FIRST_ANSWER_S = 5.0
"""Longest wait for a PACS that does not answer at all, at the beginning: its address may be wrong."""
TOLD_EVERY_S = 10.0
POLL_S = 0.2
"""How often whoever waits for answers looks whether it was told to stop."""
LEFT_TAGS = ("00080005",)
"""Attributes of a header that would be misread: JSON has one character set."""

NUMBERS = ("DS", "IS")
"""VRs of numbers in letters. One that does not read is left out here: whoever reads the file judges it."""


@dataclass(frozen=True, kw_only=True)
class PacsQuery:
    """What a PACS is asked for."""

    access: PacsAccess
    filters: Sequence[Mapping[str, str]]
    """Queries, whose matches are put together."""
    timeout_s: float
    """Longest time for an answer, with everything that is tried again."""


class Survey:
    """What a PACS says about the studies that match: by its catalogue where nothing has changed."""

    def __init__(self, query: PacsQuery, catalogue: Catalogue, salt: bytes, stop: threading.Event) -> None:
        self.records: list[StudyRecord] = []
        self.problems: list[Problem] = []
        """Studies that the PACS does not give."""
        self._query = query
        self._catalogue = catalogue
        self._salt = salt
        self._stop = stop
        self._halt = threading.Event()
        """Set where no more answers are waited for."""
        self._connection = Connection(query.access, connections=ASKED_TOGETHER)

    def run(self) -> None:
        """Ask about every study, in the order of their UIDs."""
        matches = self._matches()
        told = time.monotonic()
        with ThreadPoolExecutor(ASKED_TOGETHER) as pool:
            for start in range(0, len(matches), BATCH):
                for outcome in self._outcomes(pool, matches[start : start + BATCH]):
                    self._keep(outcome)
                self._catalogue.flush()
                if time.monotonic() - told > TOLD_EVERY_S:
                    told = time.monotonic()
                    count = min(start + BATCH, len(matches))
                    sys.stderr.write(f"glam-embed: {count} of {len(matches)} studies looked up\n")

    def _matches(self) -> list[tuple[str, StudyMatch]]:
        """Return the modality and the study of every match."""
        ask_status = partial(self._connection.ask, "/studies", lambda answer: answer.status, accept=JSON_TYPES)
        with suppress(PacsRefusal):  # it is there and slow, or the query will say what it refuses
            ask_status(patience=self._patience(FIRST_ANSWER_S), parameters=PROBE)
        matches: dict[tuple[str, str], StudyMatch] = {}
        for filters in self._query.filters:
            modality = filters["ModalitiesInStudy"]
            try:
                found = list(studies(self._connection, filters, self._patience))
            except PacsRefusal as error:
                raise ValueError(f"{self._connection.shown} does not answer the query: {error}") from None
            matches |= {(match.uid, modality): match for match in found if match.uid}
            self.problems += [self._without_uid(match) for match in found if not match.uid]
        return [(modality, match) for (_, modality), match in sorted(matches.items())]

    def _without_uid(self, match: StudyMatch) -> Problem:
        return Problem(pseudonym(self._salt, f"match {match.row}"), "fetch", BAD_UID, REFUSALS[BAD_UID])

    def _outcomes(
        self, pool: ThreadPoolExecutor, matches: Sequence[tuple[str, StudyMatch]]
    ) -> list[StudyRecord | Problem]:
        """Return what is said about studies, in their order; what ends one question ends all."""
        futures = [pool.submit(self._about, match) for match in matches]
        pending = set(futures)
        try:
            while pending:
                done, pending = wait(pending, timeout=POLL_S, return_when=FIRST_EXCEPTION)
                if self._stop.is_set():
                    raise InterruptedRun
                for future in done:
                    future.result()
        except BaseException:
            self._halt.set()
            for future in pending:
                future.cancel()
            raise
        return [future.result() for future in futures]

    def _about(self, asked: tuple[str, StudyMatch]) -> StudyRecord | Problem:
        modality, match = asked
        known = self._catalogue.known(self._connection.shown, match.uid, modality)
        if known is not None and known.num_images == match.num_images is not None:
            return known
        try:
            patience = partial(self._patience, stop=self._halt)
            images = list(_images(self._connection, match, modality, self._salt, patience))
        except PacsRefusal as error:
            return Problem(exam_name(self._salt, match.uid), "fetch", error.code, error.message)
        return StudyRecord(
            pacs=self._connection.shown,
            study_uid=match.uid,
            modality=modality,
            num_images=match.num_images,
            images=images,
        )

    def _keep(self, outcome: StudyRecord | Problem) -> None:
        if isinstance(outcome, Problem):
            self.problems.append(outcome)
            return
        self.records.append(outcome)
        if outcome != self._catalogue.known(outcome.pacs, outcome.study_uid, outcome.modality):
            self._catalogue.add(outcome)

    def _patience(self, longest_s: float | None = None, *, stop: threading.Event | None = None) -> Patience:
        return Patience(deadline=time.monotonic() + (longest_s or self._query.timeout_s), stop=stop or self._stop)


def _images(
    connection: Connection, match: StudyMatch, modality: str, salt: bytes, patience: Ask
) -> Iterator[ImageRecord]:
    """Yield what the headers of a study's images say."""
    for place, series_uid in enumerate(series_of(connection, match.uid, modality, patience)):
        if not series_uid:
            yield _without_uid(pseudonym(salt, f"series {place} of study {match.uid}"))
            continue
        for position, header in enumerate(headers_of(connection, match.uid, series_uid, patience)):
            image_uid = uid_of(header, IMAGE_UID)
            if not image_uid:
                yield _without_uid(pseudonym(salt, f"image {position} of series {series_uid}"), series_uid)
                continue
            name = pseudonym(salt, f"image {image_uid}")
            identity = _identity(header)
            if isinstance(identity, InputError | PacsRefusal):
                yield ImageRecord(name, series_uid, image_uid, code=identity.code, message=identity.message)
                continue
            number = identity.patient_id
            patient = patient_name(salt, number) if number else exam_name(salt, match.uid)
            shown = (identity.view, identity.laterality, identity.is_synthetic)
            issuer = text_of(header, ISSUER)
            issuer_name = issuer and pseudonym(salt, f"issuer {issuer}")
            yield ImageRecord(name, series_uid, image_uid, patient, *shown, issuer=issuer_name)


def _without_uid(name: str, series_uid: str = "") -> ImageRecord:
    """Return what is known of an image, or of a series, that cannot be asked for."""
    return ImageRecord(name, series_uid, "", code=BAD_UID, message=REFUSALS[BAD_UID])


def _identity(header: JsonHeader) -> ImageIdentity | InputError | PacsRefusal:
    from pydicom import Dataset

    dataset = Dataset()
    with quiet_pydicom():
        for tag, value in header.items():
            if not _is_told(tag, value):
                continue
            try:
                dataset.update(Dataset.from_json({tag: dict(value)}))
            except broken_errors():  # pydicom's alone: nothing of ours is called
                if value.get("vr") not in NUMBERS:
                    return PacsRefusal("pacs_malformed")
        try:
            return identify_header(dataset)
        except InputError as error:
            return error


def _is_told(tag: str, value: object) -> bool:
    """Whether an attribute is one of the standard with its value: no pixels, nothing that would have to be fetched."""
    is_standard = len(tag) == 8 and tag[3] in "02468ACEace" and not tag.upper().startswith(("7FE0", "0002"))
    return is_standard and tag not in LEFT_TAGS and isinstance(value, dict) and "BulkDataURI" not in value
