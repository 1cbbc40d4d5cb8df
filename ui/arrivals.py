"""Uploads on their way: the room that they take, and what is left of those that came to nothing."""

import asyncio
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .parts import FormError, Parts

MAX_FILE_BYTES = 300 << 20
MAX_WAITING_BYTES = 8 * MAX_FILE_BYTES
"""Of uploads that come or that nobody has read yet, together: one exam of the largest files. They may lie in memory."""
WAITING_S = 600.0
"""So long an upload may take to come, and then to be read."""
MIN_FILE_BYTES = 1 << 20
"""So much room the smallest file takes: ten thousand of a few bytes fill a file system too."""
CLOCK_S = 1.0
"""More than a file's time may be behind this process's clock."""
LOG = logging.getLogger(__name__)


@dataclass
class _Arrival:
    """An upload on its way."""

    since: float
    missing_bytes: int


class Arrivals:
    """Takes uploads in, as far as there is room for what each has announced.

    Gradio keeps what came of an upload that was cancelled, or that it refused; it is removed here.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._on_way: list[_Arrival] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an upload."""
        length = dict(scope["headers"]).get(b"content-length", b"")
        if not length.isdigit():
            await PlainTextResponse("say how long the upload is", 411)(scope, receive, send)
        elif int(length) > MAX_WAITING_BYTES:
            await PlainTextResponse("too large", 413)(scope, receive, send)
        elif not self._has_room(int(length)):
            refusal = "too many uploads at once: send yours again in a minute"
            await PlainTextResponse(refusal, 503)(scope, receive, send)
        else:
            with self._arriving(int(length)) as arrival:
                await self._take(arrival, scope, receive, send)

    async def _take(self, arrival: _Arrival, scope: Scope, receive: Receive, send: Send) -> None:
        is_answered = is_failing = False

        async def noted(message: Message) -> None:
            nonlocal is_answered, is_failing
            is_failing = is_failing or message.get("status") == 500  # what Gradio answers before it raises
            if not is_failing:
                is_answered = True
                await send(message)

        refusal: PlainTextResponse | None = None
        try:
            async with asyncio.timeout(WAITING_S):
                await self.app(scope, _watched(arrival, scope, receive), noted)
        except ClientDisconnect:
            return  # nobody hears an answer
        except TimeoutError:
            refusal = PlainTextResponse("the upload took too long", 408)
        except FormError as error:
            refusal = PlainTextResponse(str(error), 400)
        except (TypeError, ValueError):  # Gradio: a text where a file should be, a boundary that is too long
            refusal = PlainTextResponse("not a form of files", 400)
        except OSError as error:
            LOG.error("an upload could not be kept: %s", error.strerror)  # the error itself has the file's name in it
            refusal = PlainTextResponse("no room for the upload: tell whoever runs this viewer", 507)
        if refusal is not None and not is_answered:
            await refusal(scope, receive, send)

    def _has_room(self, num_bytes: int) -> bool:
        _remove_older(time.time() - WAITING_S)
        missing = sum(arrival.missing_bytes for arrival in self._on_way)
        return num_bytes + missing + waiting_bytes() <= MAX_WAITING_BYTES

    @contextmanager
    def _arriving(self, num_bytes: int) -> Iterator[_Arrival]:
        """Hold room for an upload; at its end remove what lies unfinished, and is of none that still comes."""
        arrival = _Arrival(since=time.time(), missing_bytes=num_bytes)
        self._on_way.append(arrival)
        try:
            yield arrival
        finally:
            self._on_way.remove(arrival)
            first = min((other.since for other in self._on_way), default=float("inf"))
            _remove_older(first - CLOCK_S, is_unfinished=True)


def _watched(arrival: _Arrival, scope: Scope, receive: Receive) -> Receive:
    """Return what receives an upload, and counts and looks at what comes; ValueError for no form of files."""
    parts = Parts(dict(scope["headers"]).get(b"content-type", b""))

    async def watched() -> Message:
        message = await receive()
        chunk = message.get("body", b"")
        arrival.missing_bytes -= len(chunk)
        parts.look(chunk)
        return message

    return watched


def waiting_bytes() -> int:
    """Return how much room the uploads take that nobody has read yet."""
    return sum(max(size, MIN_FILE_BYTES) for _, size, _ in _files())


def _remove_older(before: float, *, is_unfinished: bool = False) -> None:
    """Remove files that were last written before a time, and the folders that they leave empty.

    `is_unfinished`: none but those that have no name yet.
    """
    folder = _folder()
    for path, _, written in _files():
        if written < before and not (is_unfinished and path.parent != folder):
            path.unlink(missing_ok=True)
            if path.parent != folder:
                remove_if_empty(path.parent)


def _files() -> Iterator[tuple[Path, int, float]]:
    """Yield each file in the folder of uploads, its bytes, and when it was written."""
    for folder, _, names in os.walk(_folder()):
        for name in names:
            path = Path(folder) / name
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # read meanwhile
            yield path, status.st_size, status.st_ctime


def remove_if_empty(folder: Path) -> None:
    """Remove a folder in which no file is."""
    try:
        folder.rmdir()
    except OSError:
        return  # gone already, or another upload of the same content is in it


def _folder() -> Path:
    return Path(os.environ.get("GRADIO_TEMP_DIR", os.devnull))
