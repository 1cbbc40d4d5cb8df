"""What is written down of a request while it is answered: where its time went, and which codes it was told.

The guard opens an account for each request; whatever runs on its behalf, in threads too, adds to it by these functions
without passing it on. Outside a request they write to nobody's account.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

from glam.exam import ExamPrediction
from glam.prediction import Prediction

Stage = Literal["upload", "queue", "read", "wait", "model", "answer"]
"""Parts of a request's time: until its body is here; of a job alone, until its turn; reading and preparing its files,
waiting for a free thread included; waiting for a worker; the model, of the whole batch; making the answer of vectors.
"""
CacheOutcome = Literal["hit", "miss"]


@dataclass(kw_only=True)
class Account:
    """The times and codes of one request."""

    seconds: dict[Stage, float] = field(default_factory=dict)
    codes: list[str] = field(default_factory=list)
    """Codes of its findings, or of its error."""
    cache: CacheOutcome | None = None
    """None: the result cache is off, or was not asked."""
    caller: int = 0
    """Number of whoever asks (`glam_serve.callers`), 0 for nobody; it is written down nowhere."""

    def milliseconds(self) -> dict[str, float]:
        """Return the time of each stage so far, as an answer's `timings_ms`."""
        return {stage: round(1000 * seconds, 1) for stage, seconds in self.seconds.items()}

    def server_timing(self) -> str:
        """Return the same as a Server-Timing header (W3C)."""
        return ", ".join(f"{stage};dur={1000 * seconds:.1f}" for stage, seconds in self.seconds.items())


_current: ContextVar[Account | None] = ContextVar("account", default=None)


def open_account() -> Account:
    """Return a new account, to which whatever runs in this context from here on adds."""
    account = Account()
    _current.set(account)
    return account


def open_account_of_job() -> None:
    """Open an account for a job in its own context: upload and caller are those of the request that submitted it."""
    submitting = current_account()
    account = open_account()
    account.caller = submitting.caller
    account.seconds["upload"] = submitting.seconds.get("upload", 0.0)


def current_account() -> Account:
    """Return the account of the request in whose context this runs; outside of one, an account that nobody reads."""
    return _current.get() or Account()


def add_seconds(stage: Stage, seconds: float) -> None:
    """Add to the time of a stage."""
    account = current_account()
    account.seconds[stage] = account.seconds.get(stage, 0.0) + seconds


@contextmanager
def timed(stage: Stage) -> Iterator[None]:
    """Add the time of a block to a stage."""
    start = time.perf_counter()
    try:
        yield
    finally:
        add_seconds(stage, time.perf_counter() - start)


def note_codes(codes: Iterable[str]) -> None:
    """Add codes that the request is told."""
    current_account().codes.extend(codes)


def codes_of(prediction: Prediction | ExamPrediction) -> list[str]:
    """Return the codes of all findings of a prediction, its breasts and its views."""
    codes = [finding.code for finding in prediction.findings]
    if isinstance(prediction, ExamPrediction):
        codes += [image.code for image in prediction.left_out]
        return codes + [code for breast in prediction.breasts.values() for code in codes_of(breast)]
    return codes + [finding.code for view in prediction.views.values() for finding in view.findings]
