"""What keeps the viewer to itself: switches that must be set before Gradio is imported, a private folder, headers."""

import atexit
import os
import shutil
from contextlib import ExitStack
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from glam.own_folder import own_folder, remove_left

from .arrivals import MAX_WAITING_BYTES

SWITCHES = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_RUN_HISTORY": "False",
    "GRADIO_SSR_MODE": "False",
    "GRADIO_ANALYTICS_MAX_EVENTS": "1",
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": "1000000000",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
"""Unless it is told not to, Gradio asks two hosts at start, writes what is shown into the browser's storage, and keeps
ten thousand questions with their sessions, of which it makes a table after each."""
FOLDER_PREFIX = "glam-ui-"
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
"""The page loads from its own server alone; Gradio's HTML component runs its script by `Function`."""
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


def keep_to_itself() -> Path:
    """Set the switches; return a folder of this process alone, removed at its end, in which uploads have their own.

    Folders of viewers that were killed go too. To be called before Gradio is imported.
    """
    os.environ |= SWITCHES
    kept = ExitStack()
    folder = kept.enter_context(own_folder(FOLDER_PREFIX, within=_memory_folder()))
    uploads = folder / "uploads"
    uploads.mkdir(mode=0o700)
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    atexit.register(kept.close)
    return folder


def _memory_folder() -> Path | None:
    """Return a folder in memory, where there is one with room for an exam; None: the usual temporary folder."""
    shared = Path("/dev/shm")  # a container has 64 MB of it, unless it is told otherwise
    remove_left(FOLDER_PREFIX, shared)  # they may be what fills it
    has_room = os.access(shared, os.W_OK) and shutil.disk_usage(shared).free >= MAX_WAITING_BYTES
    return shared if has_room else None


class PrivateHeaders:
    """Adds HEADERS to every answer of an app."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        await self.app(scope, receive, with_headers)
