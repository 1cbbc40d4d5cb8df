"""What a server takes at a time, and how long it waits."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from glam.triton.endpoint import parse_endpoint
from glam_serve.log import LogFormat

MAX_THREADS = 1024
MAX_BATCH = 4096
MOST = 1e9
"""Of any limit: seconds of thirty years, megabytes of a thousand disks."""
MAX_BATCH_WAIT_S = 10.0
"""Nobody waits longer for others; the deadline of a request goes on meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of a server; what goes beyond one is refused with the code named beside it."""

    max_upload_mb: int = 256
    """Largest request: 413 `body_too_large`."""
    max_spool_mb: int = 2048
    """Uploads held at a time, over all requests: 503 `busy` beyond, before a byte of the body is read."""
    max_waiting: int = 64
    """Requests taken and not yet answered, over all API processes: 429 `too_many_requests` beyond."""
    caller_share: float = 0.5
    """Part of max_waiting, of max_spool_mb and of the open jobs that one caller may hold; 1: all of it.

    At least one request, as large as may be: 429 `too_many_of_caller` beyond.
    """
    body_idle_s: float = 10.0
    """Longest pause within an upload: 408 `upload_stalled`."""
    upload_s: float = 300.0
    """Longest upload: 408 `upload_stalled`."""
    deadline_s: float = 60.0
    """Longest time from the end of an upload to its answer: 504 `timed_out`."""
    grace_s: float = 30.0
    """Longest time to answer what is under way when the server is stopped."""

    def check(self) -> None:
        """Raise ValueError for a bound that has no meaning; in `__init__` tyro would print a box around the message."""
        for name, value in vars(self).items():
            if not 0 < value <= MOST:
                said = f"{value:g}" if isinstance(value, float) else f"{value!s:.20}"
                raise ValueError(f"{name} {said} is not above 0 and at most {MOST:g}")
        if self.caller_share > 1:
            raise ValueError(f"caller_share {self.caller_share:g} is above 1, which is all that there is")
        if self.max_spool_mb < self.max_upload_mb:
            raise ValueError(
                f"max_spool_mb {self.max_spool_mb} is below max_upload_mb {self.max_upload_mb}:"
                " the largest request could never be taken"
            )

    @property
    def max_upload_bytes(self) -> int:
        """Largest body."""
        return self.max_upload_mb << 20

    @property
    def max_spool_bytes(self) -> int:
        """Bytes of uploads held at a time."""
        return self.max_spool_mb << 20

    @property
    def max_waiting_of_caller(self) -> int:
        """Requests of one caller taken and not yet answered."""
        return self.share_of(self.max_waiting)

    @property
    def max_spool_bytes_of_caller(self) -> int:
        """Bytes of uploads of one caller held at a time."""
        return max(self.max_upload_bytes, int(self.caller_share * self.max_spool_bytes))

    def share_of(self, places: int) -> int:
        """Return how many of so many places one caller may hold, one at the least."""
        return max(1, int(self.caller_share * places + 1e-9))  # 0.29 * 100 is below 29


@dataclass(frozen=True, kw_only=True)
class Workers:
    """The processes of a server, and the engine in its workers."""

    num_workers: int = 1
    """Processes that run the model, a copy of it each."""
    num_apis: int = 1
    """Processes that read and prepare files and answer."""
    threads: int | None = None
    """Threads of one call of the model. None: all cores."""
    provider: str = "CPUExecutionProvider"
    """ONNX Runtime's execution provider."""
    runtime: Literal["onnx", "triton"] = "onnx"
    """What runs the model: ONNX Runtime in each worker, or a Triton server that all workers ask."""
    triton_url: str | None = None
    """Where that Triton listens: grpc://HOST:8001 or http://HOST:8000."""
    max_batch: int = 1
    """Requests that a worker takes together, whose views run up to 8 at a time: more than one is meant for a GPU."""
    batch_wait_s: float = 0.005
    """Longest time that a request waits for others to join its batch."""

    def __post_init__(self) -> None:
        for name in ("num_workers", "num_apis"):
            if not 1 <= getattr(self, name) <= 64:
                raise ValueError(f"{name.removeprefix('num_')} {getattr(self, name)} is not between 1 and 64")
        if self.threads is not None and not 1 <= self.threads <= MAX_THREADS:
            raise ValueError(f"threads {self.threads} is not between 1 and {MAX_THREADS}: leave it out for all cores")
        if not 1 <= self.max_batch <= MAX_BATCH:
            raise ValueError(f"max_batch {self.max_batch} is not between 1 and {MAX_BATCH}")
        if not 0 <= self.batch_wait_s <= MAX_BATCH_WAIT_S:  # NaN is not
            raise ValueError(f"batch_wait_s {self.batch_wait_s:g} is not between 0 and {MAX_BATCH_WAIT_S:g}")
        self._check_engine()

    def _check_engine(self) -> None:
        if self.runtime == "triton":
            if self.triton_url is None:
                raise ValueError("runtime triton needs --triton-url: grpc://HOST:8001 or http://HOST:8000")
            parse_endpoint(self.triton_url)
        elif self.triton_url is not None:
            raise ValueError("--triton-url goes with --runtime triton: give both")


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """What a server writes down of its requests, and keeps of its answers."""

    audit: Path | None = None
    """File of the audit log; None: there is none."""
    log_format: LogFormat = "text"
    """Of the log, on stderr."""
    cache_mb: int = 0
    """Most memory of the result cache of each API process; 0: there is none."""
    prompt_sets: Path | None = None
    """Folder of prompt sets beside those of the package; None: there is none."""
    store: Path | None = None
    """Store of the same bundle in which like cases are looked for; None: there is none."""

    def __post_init__(self) -> None:
        if not 0 <= self.cache_mb <= 1 << 20:
            raise ValueError(f"cache_mb {self.cache_mb} is not between 0 and {1 << 20}")
