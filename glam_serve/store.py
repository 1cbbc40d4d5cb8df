"""What is kept for a while after an answer: vectors for further questions, and jobs. It lives in the hub's process.

Bounded in number and in bytes: the oldest goes first. Nothing is written to a disk.
"""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

RESULT_KEPT_S = 600.0
MAX_RESULTS = 4096
MAX_RESULT_BYTES = 64 << 20
JOB_KEPT_S = 3600.0
"""From a job's last change of state."""
MAX_JOBS = 256
MAX_OPEN_JOBS = 32
"""Jobs that wait or run, over all API processes."""
MAX_JOB_BYTES = 256 << 20

JobRefusal = Literal["too_many_jobs", "too_many_of_caller"]
JobState = Literal["queued", "running", "done", "failed"]


class Job(NamedTuple):
    """A request whose caller does not wait, and how far it has come."""

    api: int
    """The API process that has it."""
    caller: int
    """Number of whoever submitted it."""
    state: JobState
    body: bytes = b""
    """The answer of a job that is done, as .npz with its JSON within; the error of one that failed, as JSON."""
    stays: bool = False
    """Whether the answer may not leave this machine."""

    @property
    def is_open(self) -> bool:
        """Whether it waits or runs."""
        return self.state in {"queued", "running"}


class _Entry(NamedTuple):
    value: Any
    size: int
    until: float


def new_token() -> str:
    """Return a name that nobody can guess."""
    return secrets.token_urlsafe(24)


class Store:
    """Values by key, each for a time; safe to call from several threads."""

    def __init__(
        self, *, max_items: int, max_bytes: int, kept_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._kept_s = kept_s
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()  # the oldest first, which also expires first
        self._bytes = 0
        self._lock = threading.RLock()

    def put(self, key: str, value: Any, *, size: int) -> None:
        """Keep a value, in place of what the key had; the oldest values go where there is no room."""
        with self._lock:
            self.drop(key)
            self._entries[key] = _Entry(value, size, self._clock() + self._kept_s)
            self._bytes += size
            while len(self._entries) > self._max_items or self._bytes > self._max_bytes:
                self.drop(next(iter(self._entries)))

    def get(self, key: str) -> Any:
        """Return a value; None where there is none, or none any more."""
        with self._lock:
            self._expire()
            entry = self._entries.get(key)
            return None if entry is None else entry.value

    def drop(self, key: str) -> bool:
        """Forget a value; False where there was none."""
        with self._lock:
            entry = self._entries.pop(key, None)
            self._bytes -= entry.size if entry else 0
            return entry is not None

    def items(self) -> list[tuple[str, Any]]:
        """Return what there is, the oldest first."""
        with self._lock:
            self._expire()
            return [(key, entry.value) for key, entry in self._entries.items()]

    def _expire(self) -> None:
        now = self._clock()
        while self._entries and next(iter(self._entries.values())).until <= now:
            self.drop(next(iter(self._entries)))


class Jobs:
    """The jobs of a server."""

    def __init__(self) -> None:
        self._store = Store(max_items=MAX_JOBS, max_bytes=MAX_JOB_BYTES, kept_s=JOB_KEPT_S)
        self._forgotten: dict[str, Job] = {}
        """Jobs that were forgotten while open, until the API process of each has let go of the form."""
        self._lock = threading.Lock()

    def submit(self, key: str, job: Job, max_of_caller: int) -> JobRefusal | None:
        """Take a job; or say that as many are open, or forgotten and still held, as may be, in all or of its caller."""
        with self._lock:
            callers = [other.caller for _, other in self._store.items() if other.is_open]
            callers += [other.caller for other in self._forgotten.values()]
            if len(callers) >= MAX_OPEN_JOBS:
                return "too_many_jobs"
            if callers.count(job.caller) >= max_of_caller:
                return "too_many_of_caller"
            self._put(key, job)
            return None

    def advance(self, key: str, job: Job) -> bool:
        """Put a job's next state in place of its last; False where it was forgotten meanwhile."""
        with self._lock:
            if self._store.get(key) is None:
                return False
            self._put(key, job)
            return True

    def get(self, key: str) -> Job | None:
        """Return a job; None where there is none, or none any more."""
        return self._store.get(key)

    def forget(self, key: str) -> bool:
        """Drop a job and its answer; False where there was none."""
        with self._lock:
            job = self._store.get(key)
            if job is not None and job.is_open:
                self._forgotten[key] = job
            return self._store.drop(key)

    def let_go(self, key: str) -> None:
        """Note that the API process which had a job no longer holds its form."""
        with self._lock:
            self._forgotten.pop(key, None)

    def fail_all_of(self, api: int, error: bytes) -> None:
        """Let the open jobs of an API process that ended fail."""
        with self._lock:
            self._forgotten = {key: job for key, job in self._forgotten.items() if job.api != api}
            for key, job in self._store.items():
                if job.api == api and job.is_open:
                    self._put(key, job._replace(state="failed", body=error))

    def _put(self, key: str, job: Job) -> None:
        self._store.put(key, job, size=len(job.body))
