"""Sessions of the viewer without a browser: what its page asks of the server, and what comes."""

import json
import threading
import time
import urllib.request
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

ENOUGH_S = 60.0


def page_config(url: str) -> dict[str, Any]:
    """Return what Gradio says of its page."""
    with urllib.request.urlopen(url, timeout=ENOUGH_S) as answer:
        html = answer.read().decode()
    return json.JSONDecoder().raw_decode(html, html.index("window.gradio_config = ") + 23)[0]


def question_of(config: dict[str, Any], elem_id: str, event: str) -> int:
    """Return the number of the question that an event of a component asks."""
    (component,) = [part["id"] for part in config["components"] if part["props"].get("elem_id") == elem_id]
    return next(asked["id"] for asked in config["dependencies"] if [component, event] in map(list, asked["targets"]))


class Session:
    """A session: its questions, and when each was answered. Its stream of answers ends when all have been."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.name = uuid4().hex[:11]
        self.asked_at: dict[str, float] = {}
        self.answers: dict[str, list[Any]] = {}
        """By question: the data of each message of it that has some."""
        self.answered_at: dict[str, float] = {}
        self._changed = threading.Condition()

    def ask(self, number: int, data: Sequence[Any]) -> str:
        """Ask a question; return its name."""
        body = {"data": data, "fn_index": number, "session_hash": self.name, "trigger_id": None}
        asked_at = time.monotonic()
        request = urllib.request.Request(f"{self.url}gradio_api/queue/join", json.dumps(body).encode())
        request.add_header("content-type", "application/json")
        with urllib.request.urlopen(request, timeout=ENOUGH_S) as answer:
            event: str = json.load(answer)["event_id"]
        if not self.asked_at:
            threading.Thread(target=self._listen, daemon=True).start()
        self.asked_at[event] = asked_at
        return event

    def wait_for(self, event: str) -> float:
        """Wait until a question is answered to its end; return how many seconds that took since it was asked."""
        with self._changed:
            assert self._changed.wait_for(lambda: event in self.answered_at, ENOUGH_S), "no answer"
        return self.answered_at[event] - self.asked_at[event]

    def exam_of(self, event: str) -> dict[str, Any]:
        """Return what the viewer is told at the end of a question."""
        return self.answers[event][-1][0]

    def _listen(self) -> None:
        url = f"{self.url}gradio_api/queue/data?session_hash={self.name}"
        with urllib.request.urlopen(url, timeout=ENOUGH_S) as lines:
            for line in lines:
                if line.startswith(b"data: "):
                    self._hear(json.loads(line[6:]))

    def _hear(self, message: dict[str, Any]) -> None:
        event = message.get("event_id")
        with self._changed:
            if message.get("output", {}).get("data"):
                self.answers.setdefault(event, []).append(message["output"]["data"])
            if message["msg"] == "process_completed":
                self.answered_at[event] = time.monotonic()
            self._changed.notify_all()
