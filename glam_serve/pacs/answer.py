"""An answer of a PACS: read whole and bounded, and its connection given back or closed."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from urllib3.exceptions import HTTPError, IncompleteRead, ProtocolError, ReadTimeoutError

from glam.reading.source import MAX_BYTES, OwnBytes
from glam_serve.cohort.decoders import InterruptedRun
from glam_serve.pacs.troubles import PacsRefusal, Trouble, spoiled

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

CHUNK_BYTES = 1 << 18


class Answer(NamedTuple):
    """What came back, whole."""

    status: int
    content_type: str
    body: OwnBytes
    has_more: bool
    """The service says that it left matches out. PS3.18 8.3.4.4."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a request may take, with everything that is tried again."""

    deadline: float
    """By `time.monotonic`."""
    stop: threading.Event
    """Set where the run is to end."""

    @property
    def left_s(self) -> float:
        """Seconds to the deadline, at least 0."""
        return max(self.deadline - time.monotonic(), 0.0)


def is_json(content_type: str) -> bool:
    """Whether a Content-Type is one of JSON."""
    return "json" in content_type.partition(";")[0].lower()


@contextmanager
def closing(response: "BaseHTTPResponse", *, is_read: bool) -> Iterator[None]:
    """Give a connection back where its answer is read to the end without a fault, and close it else."""
    try:
        yield
    except BaseException:
        is_read = False
        raise
    finally:
        if is_read:
            response.release_conn()
        else:
            drop(response)


def drop(response: "BaseHTTPResponse") -> None:
    """End a connection whose answer is not read to its end, and give its place back."""
    response.close()
    response.release_conn()


def whole_body(response: "BaseHTTPResponse", patience: Patience) -> OwnBytes:
    """Return the whole body, read as it comes; what is too large or too late is not read to its end."""
    body = OwnBytes()
    length = response.headers.get("Content-Length", "")
    num_bytes = int(length) if re.fullmatch("[0-9]{1,15}", length) else None
    if num_bytes is not None and num_bytes > MAX_BYTES:
        raise PacsRefusal("too_large")
    try:
        while chunk := response.read1(CHUNK_BYTES, decode_content=False):
            body += chunk
            if len(body) > MAX_BYTES:
                raise PacsRefusal("too_large")
            if patience.stop.is_set():
                raise InterruptedRun
            if patience.left_s == 0 and len(body) != num_bytes:
                raise PacsRefusal("pacs_slow")
    except ReadTimeoutError:
        raise Trouble("does not answer in time", "pacs_slow") from None
    except (IncompleteRead, ProtocolError, HTTPError, OSError):
        raise spoiled("pacs_cut") from None
    if num_bytes is not None and len(body) < num_bytes:
        raise spoiled("pacs_cut")
    return body
