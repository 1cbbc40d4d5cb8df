"""Cohorts and items of a stand-in for a PACS, which is given little time to answer."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from glam.config import FrameConfig
from glam_serve.cohort.embed import Cohort
from glam_serve.cohort.items import ImageRow, Item, PreparedItem
from glam_serve.pacs import connection
from glam_serve.pacs.access import PacsAccess
from glam_serve.pacs.cohort import pacs_cohort
from glam_serve.pacs.fetch import PacsItems
from glam_serve.pacs.survey import PacsQuery
from tests.samples.pacs import StandIn, stand_in, study_of

SALT = bytes(32)


@contextmanager
def hurried_pacs(mammograms: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A left breast in a PACS, whose silence and busyness are borne for fractions of a second."""
    monkeypatch.setattr(connection, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(connection, "SILENCE_S", 0.3)
    with stand_in([mammograms["L_CC"], mammograms["L_MLO"]]) as running:
        yield running


def cohort(pacs: StandIn, store: Path, *, timeout_s: float = 5.0, stop: threading.Event | None = None) -> Cohort:
    asked = PacsQuery(access=PacsAccess(url=pacs.url), filters=[{"ModalitiesInStudy": "MG"}], timeout_s=timeout_s)
    return pacs_cohort(asked, store, SALT, level="breast", stop=stop or threading.Event(), writes=False)


def item_of(pacs: StandIn) -> Item:
    """The left breast, whose CC comes first."""
    rows = [
        ImageRow(
            header.SOPInstanceUID,
            f"/studies/{header.StudyInstanceUID}/series/{header.SeriesInstanceUID}/instances/{header.SOPInstanceUID}",
            *("L", view),
            None,
            "2D",
        )
        for header, view in zip(pacs.headers, ("CC", "MLO"), strict=True)
    ]
    return Item(("exam", "L"), "patient", tuple(rows))


def read(pacs: StandIn, *, timeout_s: float = 5.0) -> PreparedItem:
    return PacsItems(access=PacsAccess(url=pacs.url), config=FrameConfig(size=126), timeout_s=timeout_s)(item_of(pacs))


def many(pacs: StandIn, count: int) -> list[dict]:
    """So many studies, of which each has the images of the one."""
    matches = []
    for number in range(count):
        match = json.loads(json.dumps(study_of(pacs.headers[0], 2)))
        match["0020000D"]["Value"] = [f"1.2.{number}"]
        matches.append(match)
    return matches
