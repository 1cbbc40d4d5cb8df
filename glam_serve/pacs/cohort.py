"""The mammograms of a PACS in place of a manifest: what their headers say, patients and images under other names."""

import sys
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from glam.store.planned import IMAGE_COLUMNS, read_plan
from glam.store.schema import KEYS, Level, Problem
from glam_serve.cohort.embed import Cohort
from glam_serve.cohort.folder import DUPLICATE
from glam_serve.pacs.catalogue import Catalogue, ImageRecord, StudyRecord, exam_name, path_of, rejection
from glam_serve.pacs.survey import PacsQuery, Survey

LATE_IMAGE = "late_image"
LATE_SENTENCE = "it came after its exam was planned, which stays as it is: give another --out to embed it"


def pacs_cohort(
    query: PacsQuery, store: Path, salt: bytes, *, level: Level, stop: threading.Event, writes: bool
) -> Cohort:
    """Return the mammograms that a PACS has, and why each other image of the modality is none.

    `patient_id`, `exam_id` and `image_id` are salted hashes. Images that came into an exam after it was planned are
    rejected (`late_image`), since a PACS never stands still. `writes`: what is learned is kept in the store.

    SourceGoneError: the PACS is gone. InterruptedRun: `stop` was set; what was learned stays.
    """
    catalogue = Catalogue(store, salt, writes=writes)
    survey = Survey(query, catalogue, salt, stop)
    try:
        survey.run()
    finally:
        catalogue.close()
    chosen = _Chosen(store, salt, level)
    for record in survey.records:
        chosen.take(record)
    _tell_of_issuers(survey.records)
    images = chosen.table()
    if images.empty:
        num_studies = len(survey.records) + len(survey.problems)
        raise ValueError(f"no mammogram in {num_studies} studies of {query.access.shown} that match: see --query")
    return Cohort(
        images=images,
        root=Path(f"dicomweb:{query.access.url.partition('://')[2]}"),
        rejected=tuple(sorted({*survey.problems, *chosen.rejected})),
        locate=catalogue.place_of,
    )


class _Chosen:
    """The images of a cohort: those that a store has planned as they were, and new ones."""

    def __init__(self, store: Path, salt: bytes, level: Level) -> None:
        self.rejected: list[Problem] = []
        self._salt = salt
        self._level: Level = level
        self._rows: list[dict] = []
        plan = read_plan(store)
        planned = [] if plan is None else plan.to_pylist()
        self._planned = {row["image_id"]: row for row in planned}
        self._keys = {self._key(row) for row in planned}
        self._exams = set[str]()
        self._seen = set[str]()

    def take(self, record: StudyRecord) -> None:
        """Add the images of a study."""
        exam = exam_name(self._salt, record.study_uid)
        self._exams.add(exam)
        for image in record.images:
            if image.code:
                self.rejected.append(rejection(image))
                continue
            row = _row(exam, image)
            planned = self._planned.get(image.image)
            if image.image in self._seen or (planned is not None and planned["exam_id"] != exam):
                message = "the same image is in another study, which was taken"
                self.rejected.append(Problem(image.image, "read", DUPLICATE, message))
                continue
            self._seen.add(image.image)
            if planned is None and self._key(row) in self._keys:
                self.rejected.append(Problem(image.image, "read", LATE_IMAGE, LATE_SENTENCE))
            elif planned is None:
                self._rows.append(row)

    def table(self) -> pd.DataFrame:
        """Return the images, a row each."""
        kept = [row for row in self._planned.values() if row["exam_id"] in self._exams]
        return pd.DataFrame([*kept, *self._rows], columns=list(IMAGE_COLUMNS))

    def _key(self, row: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(row[name] for name in KEYS[self._level])


def _tell_of_issuers(records: Sequence[StudyRecord]) -> None:
    """Say on stderr where one number of a patient comes from two issuers: they are taken for one patient."""
    issuers: defaultdict[str, set[str]] = defaultdict(set)
    for image in (image for record in records for image in record.images):
        if image.patient and image.issuer:
            issuers[image.patient].add(image.issuer)
    if count := sum(len(names) > 1 for names in issuers.values()):
        way_out = "--query IssuerOfPatientID=... and an --out each keep them apart"
        sys.stderr.write(
            f"glam-embed: patients' numbers that two issuers gave, each taken for one patient: {count}; {way_out}\n"
        )


def _row(exam: str, image: ImageRecord) -> dict:
    return {
        "image_id": image.image,
        "patient_id": image.patient,
        "exam_id": exam,
        "laterality": image.laterality,
        "view": image.view,
        "path": path_of(exam, image),
        "spacing_mm": float("nan"),
        "image_type": "synthetic" if image.is_synthetic else "2D",
    }
