"""What the page's server refuses: other sites' pages, what of Gradio it does not use, questions it does not ask."""

import re
from collections.abc import Callable
from urllib.parse import parse_qs

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .arrivals import Arrivals
from .questions import Questions, is_token

MAX_QUESTION_BYTES = 1 << 20
"""Of what the page asks in JSON: names of files and a reader's sentences."""
TOO_LONG = "What you ask is over a megabyte long: write fewer or shorter sentences."
"""In JSON, for the page cannot tell anything else."""
GRADIO = "/gradio_api/"
USED = {
    "HEAD": re.compile("/"),
    "GET": re.compile(
        r"/|/theme\.css|/favicon\.ico|/manifest\.json|/description|/(assets|static|kept|glam-static)/[A-Za-z0-9_./-]{1,200}"
        rf"|{GRADIO}(queue/data|upload_progress|app_id|heartbeat/[A-Za-z0-9]{{1,64}})"
    ),
    "POST": re.compile(f"{GRADIO}(queue/join|upload|cancel|reset)"),
}
"""What the page asks, and how. Of the rest of Gradio some fetches files and addresses for whoever asks."""
QUERIES = {
    f"{GRADIO}queue/data": "session_hash",
    f"{GRADIO}upload_progress": "upload_id",
    f"{GRADIO}upload": "upload_id",
}
"""Names that a query gives, as the page makes them; Gradio keeps some of them for ever."""
UPLOAD_IS_OVER = 'data: {"msg": "done"}\n\n'
"""The last event of an upload, as Gradio's page reads it."""
LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")
"""Names by which a page that listens on this machine alone is asked for; another one in the address bar is a trick."""


class Guard:
    """Answers what the page itself asks, and no more."""

    def __init__(self, app: ASGIApp, questions: Questions) -> None:
        self.app = app
        self._parts: dict[str, ASGIApp] = {
            f"{GRADIO}upload": Arrivals(app),
            f"{GRADIO}upload_progress": self._progress,
            f"{GRADIO}queue/data": self._events,
            f"{GRADIO}queue/join": self._made_anew(questions.asked),
            f"{GRADIO}cancel": self._made_anew(questions.ended),
            f"{GRADIO}reset": self._made_anew(questions.ended),
            "/": self._page,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = _refusal(scope) or self._parts.get(scope["path"], self.app)
        await answer(_without_origin(scope), receive, send)

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the page. A query is of its scripts alone: Gradio would look for a saved state by it."""
        await self.app({**scope, "query_string": b""}, receive, send)

    def _made_anew(self, understood: Callable[[bytes], bytes]) -> ASGIApp:
        """Return what answers a body of JSON as it was understood; ValueError of that is a refusal in words.

        Behind `mount_gradio_app` Gradio reads whatever path a question names, and fetches whatever address.
        """

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            body = await _body(receive)
            if body is None:
                await JSONResponse({"detail": TOO_LONG}, 413)(scope, receive, send)
                return
            try:
                question = understood(body)
            except ValueError as error:
                await JSONResponse({"detail": str(error)}, 403)(scope, receive, send)
                return
            await self.app(scope, _again(question, receive), send)

        return answer

    async def _events(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what happens in a session.

        Of one that Gradio does not know it says so, and then fails at its end; of one that is read twice, as when a
        page asks again over a new connection, it forgets the messages with one reader, and fails at the other.
        """
        try:
            await self.app(scope, receive, send)
        except (RuntimeError, KeyError):
            await send({"type": "http.response.body", "body": b""})

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


def _refusal(scope: Scope) -> Response | None:
    if _is_of_another_site(scope["method"], dict(scope["headers"])):
        return PlainTextResponse("asked by a page of another site", 403)
    used = USED.get(scope["method"])
    if used is None or not used.fullmatch(scope["path"]):
        return PlainTextResponse("not used by this page", 404)
    named = QUERIES.get(scope["path"])
    query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    if named and not all(is_token(name) for name in query.get(named, ())):
        return PlainTextResponse("not a name of this page", 403)
    return None


def _is_of_another_site(method: str, headers: dict[bytes, bytes]) -> bool:
    """Whether a browser says that another site's page asks (Fetch Metadata); a link to this page may be followed.

    Where the page comes over plain HTTP from another machine, browsers say no more than the origin of what is sent.
    """
    site = headers.get(b"sec-fetch-site")
    if site is None:
        names = {_without_port(headers[name]) for name in (b"host", b"x-forwarded-host") if name in headers}
        return b"origin" in headers and _without_port(headers[b"origin"].partition(b"://")[2]) not in names
    is_followed = method == "GET" and headers.get(b"sec-fetch-mode") == b"navigate"
    return site in (b"cross-site", b"same-site") and not is_followed


def _without_port(host: bytes) -> bytes:
    return re.sub(rb":\d+$", b"", host)


def _without_origin(scope: Scope) -> Scope:
    """Return a request that says nothing of its page: Gradio lets other sites read what it answers (CORS)."""
    return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"origin"]}


async def _body(receive: Receive) -> bytes | None:
    """Return the body of a request; None for one that is too long."""
    body, is_more = b"", True
    while is_more and len(body) <= MAX_QUESTION_BYTES:
        message = await receive()
        body += message.get("body", b"")
        is_more = message.get("more_body", False)
    return body if len(body) <= MAX_QUESTION_BYTES else None


def _again(body: bytes, receive: Receive) -> Receive:
    """Return what says a body, and then what comes."""
    said: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return said.pop() if said else await receive()

    return again
