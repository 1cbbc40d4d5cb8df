"""Studies that came to rest: the model is asked about each, and the answer lies beside its images as JSON."""

import json
import logging
import re
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from glam.client import Client, ServerError
from glam.exam import MAX_IMAGES
from glam.files import JsonDict, flush_folder, replacing, write_json
from glam.findings import InputError
from glam.prediction import NOTICE
from glam.reading.identify import identify
from glam_serve.listen.worklist import RESULT, Study, Worklist
from glam_serve.log import where_raised

log = logging.getLogger(__name__)

POLL_S = 0.5
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
"""Between questions to a server that does not answer; it doubles."""
LONGEST_PUT_OFF_S = 600.0
"""However long the server asks to wait: it may be a proxy that says so, and nobody else would ask earlier."""
NOT_NOW = frozenset({0, 401, 403, 404, 405, 408, 429, 502, 503})
"""Statuses of a server that may answer the same question later; 0: there is none."""
TOO_LARGE = 413
NOT_GLAM, WORKER_LOST, INTERNAL_ERROR = "not_glam", "worker_lost", "internal_error"
"""Codes: something else answered; the study may be what ended the server's worker; a fault of our own."""
NOT_FINITE = "not_finite"
"""Code: the answer has a NaN or an infinity in it."""
CODE = re.compile(r"[a-z0-9_]{1,64}")
"""Of an error: what else a server gives for one is neither noted nor logged."""
FAULTS = 3
"""Answers of a fault that the study may have caused, or none though the server is ready; then it is given up."""
OVER_LIMIT, MISSING_FILE = "over_limit", "missing_file"


@dataclass(frozen=True, kw_only=True)
class Times:
    """When a study is asked about, and how long its files stay."""

    quiet_s: float = 30.0
    """Without a new image; then a study is taken as complete."""
    hold_s: float = 900.0
    """After the result, for images that come late."""
    keep: bool = False
    """Delete no file."""


class Chosen(NamedTuple):
    """Images that the model is asked about, and why others are not."""

    images: Sequence[str]
    left_out: Mapping[str, str]
    """Image -> code."""


class Answerer:
    """Asks a server about studies, one after the other."""

    def __init__(self, worklist: Worklist, client: Client, times: Times) -> None:
        self._worklist = worklist
        self._client = client
        self._times = times
        self._stop = threading.Event()
        self._started = time.monotonic()
        self._faults = Counter[str]()
        self._put_off = Counter[str]()
        """How often each study was to be asked about later: one that always is does not hold up the others."""
        self._wait_s = FIRST_WAIT_S
        self._not_before = 0.0

    def run(self, stop: threading.Event) -> None:
        """Answer studies until told to stop, no further one then; what goes wrong with the disk is tried again."""
        self._stop = stop
        while not stop.wait(POLL_S):
            try:
                self.look()
            except (OSError, sqlite3.DatabaseError) as error:
                log.error("a result cannot be written: %s", getattr(error, "strerror", None) or "database")
                self._later()

    def look(self) -> None:
        """Answer the studies that are at rest now, and delete the files of those that are done."""
        now = time.monotonic()
        rests = now - self._started >= self._times.quiet_s  # a sender may go on after a restart
        if rests and now >= self._not_before:
            at_rest = self._worklist.at_rest(quiet_s=self._times.quiet_s)
            for study in sorted(at_rest, key=lambda study: self._put_off[study.study]):
                self._put_off[study.study] += 1
                if self._stop.is_set() or not self._answer(study):
                    break
        if not self._times.keep:
            for study in self._worklist.done_with_files(before=time.time() - self._times.hold_s):
                count = self._worklist.forget_files(study)
                log.info("%d images of a study of %s deleted", count, study.sender)

    def _answer(self, study: Study) -> bool:
        """Put the result of a study in place; False where the server cannot be asked now."""
        images, num_gone = self._worklist.images_of(study.study)
        chosen = choose({image: self._worklist.file_of(study.study, image) for image in images})
        answer: JsonDict | None = None
        error: JsonDict | None = None
        try:
            if chosen.images:
                files = [self._worklist.file_of(study.study, image) for image in chosen.images]
                answer = self._asked(files)
            else:
                error = {"code": "no_mammogram", "message": "no image of the study can be used", "where": ""}
        except ServerError as refusal:
            if self._is_for_later(study, refusal):
                return False
            error = {"code": _code(refusal), "message": str(refusal.message), "where": str(refusal.where)}
        self._wait_s = FIRST_WAIT_S
        result = {
            "study_uid": study.study,
            "answer_number": study.answers + 1,
            "is_late": study.answers > 0,
            "images": list(chosen.images),
            "left_out": dict(chosen.left_out),
            "images_gone": num_gone,
            "answer": answer,
            "error": error,
            "notice": NOTICE,
        }
        _put(self._worklist.folder_of(study.study), result)
        code = error["code"] if error else ""
        self._worklist.close_study(study, "failed" if error else "answered", code)
        self._faults.pop(study.study, None)
        self._put_off.pop(study.study, None)
        again = f", again: {num_gone} earlier images were deleted" if num_gone else ", again"
        log.info(
            "a study of %d images of %s: %s%s",
            *(len(images), study.sender, code or "answered", again if study.answers else ""),
        )
        return True

    def _asked(self, files: Sequence[Path]) -> JsonDict:
        try:
            answer = self._client.predict_exam(files).raw
        except (ServerError, OSError):
            raise
        except Exception as error:  # of ours: it costs this study, as it costs the server one request
            log.error("%s: %s", INTERNAL_ERROR, where_raised(error))
            raise ServerError(500, INTERNAL_ERROR, "the listener failed on this study: its log says where") from None
        try:
            json.dumps(answer, allow_nan=False)
        except (ValueError, RecursionError):
            raise ServerError(500, NOT_FINITE, "the server's answer has numbers that are none: see its log") from None
        return answer

    def _is_for_later(self, study: Study, refusal: ServerError) -> bool:
        """Whether a study is to be asked about again, after a while."""
        is_elsewhere = refusal.code == NOT_GLAM and refusal.status < 500 and refusal.status != TOO_LARGE
        is_not_now = refusal.status in NOT_NOW and refusal.code != WORKER_LOST
        is_silent = refusal.status == 0 and self._client.is_ready()
        if is_silent or not (is_elsewhere or is_not_now):
            if 0 < refusal.status < 500:
                return False
            self._faults[study.study] += 1
            if self._faults[study.study] >= FAULTS:
                return False
        log.warning("the server does not answer now: %s, status %d", _code(refusal), refusal.status)
        self._later(refusal.retry_after_s)
        return True

    def _later(self, least_s: float | None = None) -> None:
        self._not_before = time.monotonic() + max(self._wait_s, min(least_s or 0, LONGEST_PUT_OFF_S))
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)


def _code(refusal: ServerError) -> str:
    return refusal.code if isinstance(refusal.code, str) and CODE.fullmatch(refusal.code) else NOT_GLAM


def choose(files: Mapping[str, Path]) -> Chosen:
    """Return the images to ask about: those that show a view by their headers, one of each view before a second."""
    left_out: dict[str, str] = {}
    ranked: list[tuple[int, str]] = []
    counts: dict[tuple[str, str], int] = {}
    for image, path in files.items():
        try:
            identity = identify(path)
        except InputError as error:
            left_out[image] = error.code
            continue
        except FileNotFoundError:
            left_out[image] = MISSING_FILE
            continue
        except OSError:
            raise
        except Exception as error:  # of ours: it costs this image
            log.error("%s: %s", INTERNAL_ERROR, where_raised(error))
            left_out[image] = INTERNAL_ERROR
            continue
        view = (identity.laterality, identity.view)
        counts[view] = counts.get(view, 0) + 1
        ranked.append((counts[view], image))
    ranked.sort(key=lambda entry: entry[0])
    left_out |= {image: OVER_LIMIT for _, image in ranked[MAX_IMAGES:]}
    return Chosen([image for _, image in ranked[:MAX_IMAGES]], left_out)


def _put(folder: Path, result: JsonDict) -> None:
    """Put a result in place; that of an earlier answer stays beside it under its number."""
    folder.mkdir(mode=0o700, exist_ok=True)  # somebody may have deleted it
    path = folder / RESULT
    if result["answer_number"] > 1 and path.exists():
        earlier = folder / f"result-{result['answer_number'] - 1}.json"
        if not earlier.exists():
            with replacing(earlier) as part:
                part.write_bytes(path.read_bytes())
    write_json(path, result)
    flush_folder(folder)
