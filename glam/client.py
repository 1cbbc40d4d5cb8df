"""Typed HTTP client of `glam-serve`; needs nothing but Python."""

import json
import secrets
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from glam.client_answers import BreastAnswer, ExamAnswer, breast_answer, exam_answer
from glam.files import JsonDict

Upload = bytes | Path | str
Prompts = Sequence[str] | Mapping[str, object]
Answer = TypeVar("Answer", BreastAnswer, ExamAnswer)


class ServerError(RuntimeError):
    """The server's one error shape; 4xx is the caller's, 5xx the server's, 0 no answer at all."""

    def __init__(self, status: int, code: str, message: str, where: str = "") -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.where = where


@dataclass(frozen=True, kw_only=True)
class Client:
    """A server at `url`."""

    url: str = "http://127.0.0.1:8000"
    timeout_s: float = 60.0

    def predict(
        self,
        *,
        cc: Upload | None = None,
        mlo: Upload | None = None,
        laterality: str | None = None,
        spacing_mm: float | None = None,
        prompts: Prompts = (),
        include: Sequence[str] | None = None,
    ) -> BreastAnswer:
        """Return the answer for one breast; ServerError when there is none.

        `prompts`: sentences, or {"set": NAME} or {"classes": {class: [sentences]}}. `include` names parts of the answer
        (None: the server's usual ones). File names are not sent. Every `embedding` is None where the model's licence
        keeps them on the server's machine: the finding `embedding_withheld` says so.
        """
        files = [(field, source) for field, source in (("cc", cc), ("mlo", mlo)) if source is not None]
        texts = _texts(prompts, spacing_mm, include)
        if laterality is not None:
            texts.append(("laterality", laterality))
        return self._typed(breast_answer, files, texts)

    def predict_exam(
        self,
        images: Sequence[Upload],
        *,
        spacing_mm: float | None = None,
        prompts: Prompts = (),
        include: Sequence[str] | None = None,
    ) -> ExamAnswer:
        """Return the answer for an exam of one to eight images in any order, as `predict` does for a breast."""
        return self._typed(exam_answer, [("images", source) for source in images], _texts(prompts, spacing_mm, include))

    def _typed(
        self, read: Callable[[JsonDict], Answer], files: Sequence[tuple[str, Upload]], texts: Sequence[tuple[str, str]]
    ) -> Answer:
        boundary = secrets.token_hex(16)
        body = b"".join(_parts(files, texts, boundary))
        answer = self._ask("/predict", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})
        try:
            return read(answer)
        except (KeyError, TypeError, AttributeError):
            message = "the answer is not of the shape that this client knows: are both of one version?"
            raise ServerError(200, "not_glam", message) from None

    def model(self) -> JsonDict:
        """Return what answers there."""
        return self._ask("/v1/model")

    def is_ready(self) -> bool:
        """Say whether the server takes requests."""
        try:
            return self._ask("/readyz")["status"] == "ready"
        except ServerError:
            return False

    def _ask(self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> JsonDict:
        request = urllib.request.Request(self.url.rstrip("/") + path, body, headers or {})
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise _server_error(error.code, error.read()) from None
        except OSError as error:
            raise ServerError(0, "no_answer", f"no answer from {self.url}: {error}") from error


def _server_error(status: int, body: bytes) -> ServerError:
    try:
        error = json.loads(body)
        return ServerError(status, error["code"], error["message"], error["where"])
    except (ValueError, KeyError, TypeError):
        return ServerError(status, "not_glam", f"status {status} without GLAM's error: is this a GLAM server?")


def _texts(prompts: Prompts, spacing_mm: float | None, include: Sequence[str] | None) -> list[tuple[str, str]]:
    """Return the fields of a form that are texts."""
    asked = [json.dumps(prompts)] if isinstance(prompts, Mapping) else prompts
    texts = [("prompts", text) for text in asked]
    if spacing_mm is not None:
        texts.append(("spacing_mm", repr(spacing_mm)))
    if include is not None:
        texts.append(("include", ",".join(include)))
    return texts


def _parts(files: Sequence[tuple[str, Upload]], texts: Sequence[tuple[str, str]], boundary: str) -> Iterator[bytes]:
    """Yield a multipart/form-data body (RFC 7578)."""
    for field, source in files:
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
        name = f'Content-Disposition: form-data; name="{field}"; filename="{field}.dcm"'
        yield f"--{boundary}\r\n{name}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        yield content
        yield b"\r\n"
    for field, text in texts:
        yield f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{text}\r\n'.encode()
    yield f"--{boundary}--\r\n".encode()
