"""What Gradio keeps of every upload and session for as long as it runs; here it is made to forget."""

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    import gradio as gr

MAX_OVER = 100
"""Uploads that are over and may still be asked about: the page reads how far one is beside it."""


class Leftovers:
    """Empties Gradio's lists after each question and upload: names of files that are gone, uploads, sessions.

    Of what it reaches into, `_signals` and `_queue` are Gradio's own: a test holds that they are what is said here.
    """

    def __init__(self, app: ASGIApp, page: "gr.Blocks") -> None:
        self.app, self._page = app, page
        self._over: deque[str] = deque()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and forget what came before it."""
        try:
            await self.app(scope, receive, send)
        finally:
            for upload in parse_qs(scope.get("query_string", b"").decode("latin-1")).get("upload_id", ()):
                self._end(upload)
            if scope.get("method") == "POST":
                self._forget_files()
                self._forget_sessions()

    def _end(self, upload: str) -> None:
        from gradio.routes import file_upload_statuses

        self._over.append(upload)
        while len(self._over) > MAX_OVER:
            oldest = self._over.popleft()
            if oldest not in self._over:
                file_upload_statuses.stop_tracking(oldest)
                file_upload_statuses._signals.pop(oldest, None)

    def _forget_files(self) -> None:
        """Gradio removes such as lie there too long, and keeps the names of those that it finds gone."""
        paths = self._page.upload_file_set
        paths.difference_update([path for path in paths if not Path(path).exists()])

    def _forget_sessions(self) -> None:
        """Of sessions whose messages Gradio has dropped, 2,000 newer ones being there, it keeps their questions."""
        queue = self._page._queue
        if len(queue.pending_event_ids_session) > len(queue.pending_messages_per_session):
            gone = queue.pending_event_ids_session.keys() - queue.pending_messages_per_session.keys()
            for session in gone:
                del queue.pending_event_ids_session[session]
