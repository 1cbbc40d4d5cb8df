"""What the page's server refuses: other sites' pages, what of Gradio the page does not use, files that nobody sent."""

import json

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .arrivals import Arrivals
from .uploads import is_upload

MAX_QUESTION_BYTES = 1 << 20
"""Of what the page asks in JSON: names of files and a reader's sentences."""
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
        self.arrivals = Arrivals(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif refusal := _refusal(scope):
            await refusal(scope, receive, send)
        else:
            await self._part(scope)(scope, receive, send)

    def _part(self, scope: Scope) -> ASGIApp:
        """Return what answers a request that is not refused at once."""
        if not scope["path"].startswith(GRADIO):
            return self.app
        asked = scope["path"].removeprefix(GRADIO).rstrip("/")
        if asked == "upload_progress":
            return self._progress
        if scope["method"] != "POST":
            return self.app
        return self.arrivals if asked == "upload" else self._question

    async def _question(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what is asked in JSON, unless it names a file that nobody sent.

        Behind `mount_gradio_app` Gradio reads whatever path a question names, and fetches whatever address.
        """
        question = await _body(receive)
        if question is None:
            await PlainTextResponse("too large", 413)(scope, receive, send)
        elif _names_others(question):
            await PlainTextResponse("names a file that was not sent", 403)(scope, receive, send)
        else:
            await self.app(scope, _again(question, receive), send)

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
    return None


def _is_of_another_site(method: str, headers: dict[bytes, bytes]) -> bool:
    """Whether a browser says that another site's page asks (Fetch Metadata); a link to this page may be followed."""
    is_foreign = headers.get(b"sec-fetch-site") in (b"cross-site", b"same-site")
    is_followed = method == "GET" and headers.get(b"sec-fetch-mode") == b"navigate"
    return is_foreign and not is_followed


async def _body(receive: Receive) -> bytes | None:
    """Return the body of a request; None for one that is too long."""
    body, is_more = b"", True
    while is_more and len(body) <= MAX_QUESTION_BYTES:
        message = await receive()
        body += message.get("body", b"")
        is_more = message.get("more_body", False)
    return body if len(body) <= MAX_QUESTION_BYTES else None


def _again(body: bytes, receive: Receive) -> Receive:
    """Return what says a body that was read already, and then what comes."""
    said: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return said.pop() if said else await receive()

    return again


def _names_others(question: bytes) -> bool:
    """Return whether JSON names a file that is no upload, wherever in it; or cannot be read."""
    try:
        values = [json.loads(question or b"null")]
    except (ValueError, RecursionError):
        return True
    while values:
        value = values.pop()
        if isinstance(value, dict):
            if "path" in value and not is_upload(value["path"]):
                return True
            values.extend(value.values())
        elif isinstance(value, list):
            values.extend(value)
    return False
