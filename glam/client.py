"""Typed HTTP client of `glam-serve`; needs nothing but Python."""

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from glam.client_answers import BreastAnswer, ExamAnswer, JobAnswer, breast_answer, exam_answer, job_answer
from glam.client_http import OPENER, Body, Upload, body_of, form_body, json_body, opener
from glam.client_vectors import (
    ImageVectors,
    SimilarAnswer,
    TextVector,
    WordsAnswer,
    image_vectors,
    similar_answer,
    text_vectors,
    vectors_asked,
    words_answers,
)
from glam.files import JsonDict

Prompts = Sequence[str] | Mapping[str, object]
Answer = TypeVar("Answer")


class ServerError(RuntimeError):
    """The server's one error shape; 4xx is the caller's, 5xx the server's, 0 no answer at all.

    `retry_after_s`: after how many seconds the server would have the request again; None: it does not say.
    """

    def __init__(
        self, status: int, code: str, message: str, where: str = "", *, retry_after_s: float | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.where = where
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, kw_only=True)
class Client:
    """A server at `url`; `api_key` where it asks for one.

    Images and key go to that server alone: no redirection is followed, and `http_proxy` and the like, which whoever set
    them meant for other things, are passed over. `proxy`: the address of one that they may go through; over plain http
    it reads them.
    """

    url: str = "http://127.0.0.1:8000"
    timeout_s: float = 60.0
    api_key: str | None = field(default=None, repr=False)
    proxy: str | None = field(default=None, repr=False)

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
        files = [(name, source) for name, source in (("cc", cc), ("mlo", mlo)) if source is not None]
        texts = _texts(prompts, spacing_mm, include)
        if laterality is not None:
            texts.append(("laterality", laterality))
        return self._typed(breast_answer, "/predict", form_body(files, texts))

    def predict_exam(
        self,
        images: Sequence[Upload],
        *,
        spacing_mm: float | None = None,
        prompts: Prompts = (),
        include: Sequence[str] | None = None,
    ) -> ExamAnswer:
        """Return the answer for an exam of one to eight images in any order, as `predict` does for a breast."""
        return self._typed(exam_answer, "/predict", form_body(_images(images), _texts(prompts, spacing_mm, include)))

    def submit_exam(
        self,
        images: Sequence[Upload],
        *,
        spacing_mm: float | None = None,
        prompts: Prompts = (),
        include: Sequence[str] | None = None,
    ) -> str:
        """Hand in an exam that need not wait, as `predict_exam` takes it; return the id of the job."""
        body = form_body(_images(images), _texts(prompts, spacing_mm, include))
        return self._typed(lambda answer: str(answer["job_id"]), "/v1/jobs", body)

    def job(self, job_id: str) -> JobAnswer:
        """Return how far a job is."""
        return self._typed(job_answer, _job_path(job_id))

    def wait_for(self, job_id: str, *, timeout_s: float = 600.0, every_s: float = 0.5) -> BreastAnswer | ExamAnswer:
        """Return the answer of a job; ServerError with its fault if it failed, TimeoutError if it takes too long."""
        end = time.monotonic() + timeout_s
        while True:
            job = self.job(job_id)
            if job.answer is not None:
                return job.answer
            if job.error is not None:
                raise ServerError(200, job.error["code"], job.error["message"], job.error["where"])
            if time.monotonic() >= end:
                raise TimeoutError(f"the job is {job.state} after {timeout_s:g} s")
            time.sleep(every_s)

    def forget(self, job_id: str) -> None:
        """Have the server drop a job and its answer."""
        self._send(_job_path(job_id), method="DELETE")

    def embed_images(self, images: Sequence[Upload], *, spacing_mm: float | None = None) -> ImageVectors:
        """Return the vector of each of one to eight images, by itself."""
        return self._typed(image_vectors, "/v1/embed/image", form_body(_images(images), _texts((), spacing_mm, None)))

    def embed_texts(self, texts: Sequence[str]) -> tuple[TextVector, ...]:
        """Return the vectors of 1 to 64 texts, in their order."""
        return self._typed(text_vectors, "/v1/embed/text", json_body({"texts": list(texts)}))

    def zero_shot(
        self, prompts: Prompts, *, result_id: str | None = None, embeddings: Sequence[Sequence[float]] | None = None
    ) -> tuple[WordsAnswer, ...]:
        """Hold words against an answer of the last ten minutes (`result_id`), or against vectors; no image is sent."""
        words = dict(prompts) if isinstance(prompts, Mapping) else list(prompts)
        asked = {"prompts": words} | vectors_asked(result_id, embeddings)
        return self._typed(words_answers, "/v1/zero-shot", json_body(asked))

    def similar(
        self,
        *,
        result_id: str | None = None,
        embeddings: Sequence[Sequence[float]] | None = None,
        k: int = 10,
        same_patient: bool = False,
    ) -> SimilarAnswer:
        """Return the cases of the server's store most like an answer of the last ten minutes, or like vectors.

        Those of the same patient are left out but with `same_patient`. ServerError `no_store`: the server has none.
        """
        asked: JsonDict = {"k": k, "same_patient": same_patient} | vectors_asked(result_id, embeddings)
        return self._typed(similar_answer, "/v1/similar", json_body(asked))

    def model(self) -> JsonDict:
        """Return what answers there."""
        return self._ask("/v1/model")

    def is_ready(self) -> bool:
        """Say whether the server takes requests."""
        try:
            return self._ask("/readyz")["status"] == "ready"
        except ServerError:
            return False

    def _typed(self, read: Callable[[JsonDict], Answer], path: str, body: Body | None = None) -> Answer:
        answer = self._ask(path, body)
        try:
            return read(answer)
        except (KeyError, TypeError, AttributeError):
            message = "the answer is not of the shape that this client knows: are both of one version?"
            raise ServerError(200, "not_glam", message) from None

    def _ask(self, path: str, body: Body | None = None) -> JsonDict:
        content = self._send(path, body)
        try:
            return json.loads(content)
        except ValueError:
            raise ServerError(200, "not_glam", "an answer that is no JSON: is this a GLAM server?") from None

    def _send(self, path: str, body: Body | None = None, *, method: str | None = None) -> bytes:
        headers = {} if body is None else {"Content-Type": body.media_type}
        if self.api_key is not None:
            headers["X-API-Key"] = self.api_key
        content = None if body is None else body.content
        request = urllib.request.Request(self.url.rstrip("/") + path, content, headers, method=method)
        asking = OPENER if self.proxy is None else opener(self.proxy)
        try:
            with asking.open(request, timeout=self.timeout_s) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise _server_error(error.code, body_of(error), error.headers.get("Retry-After")) from None
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(0, "no_answer", f"no answer from {self.url}: {error}") from error


def _server_error(status: int, body: bytes, retry_after: str | None) -> ServerError:
    seconds = float(retry_after) if retry_after and retry_after.isdecimal() else None
    try:
        error = json.loads(body)
        return ServerError(status, error["code"], error["message"], error["where"], retry_after_s=seconds)
    except (ValueError, KeyError, TypeError):
        message = f"status {status} without GLAM's error: is this a GLAM server?"
        return ServerError(status, "not_glam", message, retry_after_s=seconds)


def _job_path(job_id: str) -> str:
    return f"/v1/jobs/{urllib.parse.quote(job_id, safe='')}"


def _images(images: Sequence[Upload]) -> list[tuple[str, Upload]]:
    return [("images", source) for source in images]


def _texts(prompts: Prompts, spacing_mm: float | None, include: Sequence[str] | None) -> list[tuple[str, str]]:
    """Return the fields of a form that are texts."""
    asked = [json.dumps(prompts)] if isinstance(prompts, Mapping) else prompts
    texts = [("prompts", text) for text in asked]
    if spacing_mm is not None:
        texts.append(("spacing_mm", repr(spacing_mm)))
    if include is not None:
        texts.append(("include", ",".join(include)))
    return texts
