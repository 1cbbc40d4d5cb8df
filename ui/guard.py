"""What the page's server refuses: other sites' pages, what of Gradio the page does not use, uploads without room."""

import os
from pathlib import Path

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_FILE_BYTES = 300 << 20
MAX_WAITING_BYTES = 8 * MAX_FILE_BYTES
"""Of uploads that nobody has read yet, together: one exam of the largest files. They may lie in memory."""
GRADIO = "/gradio_api/"
USED = (
    "upload",
    "queue/join",
    "queue/data",
    "heartbeat/",
    "app_id",
    "cancel",
    "reset",
    "startup-events",
    "theme.css",
)
"""What the page asks of Gradio. Of the rest some fetches files and addresses for whoever asks."""
UPLOAD_IS_OVER = 'data: {"msg": "done"}\n\n'
"""The last event of an upload, as Gradio's page reads it."""
LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")
"""Names by which a page that listens on this machine alone is asked for; another one in the address bar is a trick."""


class Guard:
    """Answers what the page itself asks, and no more."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif refusal := _refusal(scope):
            await refusal(scope, receive, send)
        elif scope["path"] == f"{GRADIO}upload_progress":
            await self._progress(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _progress(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer how far an upload is. Gradio says 404 of one that was refused, which a browser takes for a fault."""
        is_unknown = False

        async def unless_unknown(message: Message) -> None:
            nonlocal is_unknown
            is_unknown = is_unknown or (message["type"] == "http.response.start" and message["status"] == 404)
            if not is_unknown:
                await send(message)

        await self.app(scope, receive, unless_unknown)
        if is_unknown:
            await Response(UPLOAD_IS_OVER, media_type="text/event-stream")(scope, receive, send)


def _refusal(scope: Scope) -> PlainTextResponse | None:
    headers = dict(scope["headers"])
    if _is_of_another_site(scope["method"], headers):
        return PlainTextResponse("asked by a page of another site", 403)
    asked = scope["path"].removeprefix(GRADIO)
    if scope["path"].startswith(GRADIO) and not asked.startswith(USED):
        return PlainTextResponse("not used by this page", 404)
    if scope["method"] == "POST" and asked.rstrip("/") == "upload":
        return _refused_upload(headers)
    return None


def _is_of_another_site(method: str, headers: dict[bytes, bytes]) -> bool:
    """Whether a browser says that another site's page asks (Fetch Metadata); a link to this page may be followed."""
    is_foreign = headers.get(b"sec-fetch-site") in (b"cross-site", b"same-site")
    is_followed = method == "GET" and headers.get(b"sec-fetch-mode") == b"navigate"
    return is_foreign and not is_followed


def _refused_upload(headers: dict[bytes, bytes]) -> PlainTextResponse | None:
    length = headers.get(b"content-length", b"")
    if not length.isdigit():
        return PlainTextResponse("say how long the upload is", 411)
    if int(length) > MAX_WAITING_BYTES:
        return PlainTextResponse("too large", 413)
    if int(length) + _waiting_bytes() > MAX_WAITING_BYTES:
        return PlainTextResponse("too many uploads at once: send yours again in a minute", 503)
    return None


def _waiting_bytes() -> int:
    """Return how many bytes of uploads nobody has read yet."""
    total = 0
    for folder, _, names in os.walk(os.environ.get("GRADIO_TEMP_DIR", os.devnull)):
        for name in names:
            try:
                total += (Path(folder) / name).stat().st_size
            except FileNotFoundError:
                continue  # read meanwhile
    return total
