"""Questions about vectors: embeddings of images and texts, and zero-shot answers for which no image is sent again."""

from typing import NamedTuple, TypeVar

import anyio
import numpy as np
from fastapi import Request, Response
from pydantic import ValidationError

from glam.engine import Squares
from glam.findings import Finding, input_error
from glam.pair import PreparedBreast, PreparedView
from glam.prediction import NOTICE, Json, match_json
from glam.view import Side
from glam.words.sentences import MAX_PROMPTS, check_prompts
from glam.zeroshot import breast_embedding
from glam_serve.account import timed
from glam_serve.answers import Answers, KeptVectors
from glam_serve.errors import Refusal
from glam_serve.prompts import Prompts, plain_object, prompts_of_object
from glam_serve.replies import json_reply
from glam_serve.uploads import FormFields, read_form
from glam_serve.vector_schema import EmbedTextsRequest, SimilarRequest, ZeroShotRequest

MAX_JSON_BYTES = 4 << 20
MAX_EMBEDDINGS = 256

Asked = TypeVar("Asked", EmbedTextsRequest, ZeroShotRequest, SimilarRequest)


class _Read(NamedTuple):
    """The images of a form, prepared."""

    breasts: list[PreparedBreast]
    numbers: dict[tuple[str, str], int]
    """Side and view -> number of the image among `images`."""
    left_out: list[Json]


class VectorAnswers:
    """Answers that are vectors, or come from vectors."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.bundle = answers.interpreter.bundle

    async def embed_images(self, request: Request) -> Response:
        """Embed the images of a form, each by itself."""
        fields = await read_form(request)
        if fields.prompts or fields.include is not None:
            fields.close()
            raise input_error("bad_field", "", problem="prompts and include have no meaning here: send images alone")
        read = await self._read(fields)
        views = [view for breast in read.breasts for view in breast.views.values()]
        squares: list[Squares] = [{key: square} for breast in read.breasts for key, square in breast.squares.items()]
        vectors = await self.answers.embed(squares)
        by_side: dict[Side, list[np.ndarray]] = {}
        for view, vector in zip(views, vectors, strict=True):
            by_side.setdefault(view.laterality, []).append(vector)
        kept = KeptVectors(
            breasts={side: np.stack(of_side) for side, of_side in by_side.items()},
            views={side: tuple(view.view for view in views if view.laterality == side) for side in by_side},
            aggregation=fields.aggregation,
            patients=await self.answers.patients(read.breasts),
        )
        result_id = await self.answers.keep_vectors(kept)
        withheld = self.answers.withheld(request)
        with timed("answer"):
            images = [_image_json(read, view, vector, withheld) for view, vector in zip(views, vectors, strict=True)]
        answer = {"images": images, "left_out": read.left_out, "result_id": result_id} | self._ending(withheld)
        return await json_reply(answer | {"prepare_sha": self.bundle.prepare_sha})

    async def _read(self, fields: FormFields) -> "_Read":
        if not fields.images:
            return _Read([await self.answers.reader.breast(fields, ())], {}, [])
        exam = await self.answers.reader.exam(fields, ())
        numbers = {(entry.laterality, entry.view): entry.image for entry in exam.used}
        return _Read(list(exam.breasts.values()), numbers, [entry._asdict() for entry in exam.left_out])

    async def embed_texts(self, request: Request) -> Response:
        """Embed texts."""
        asked = await read_json(request, EmbedTextsRequest)
        texts = [text.strip() for text in asked.texts]
        if not 0 < len(texts) <= MAX_PROMPTS:
            raise input_error(
                "bad_field", "texts", problem=f"texts holds {len(texts)} texts: 1 to {MAX_PROMPTS} are taken"
            )
        check_prompts(texts)
        vectors = await self.answers.vectors(texts)
        withheld = self.answers.withheld(request)
        unknown = self.answers.interpreter.tokenizer.unknown_words
        with timed("answer"):
            entries = [
                {"embedding": _numbers(vectors[text], withheld), "unknown_words": list(unknown(text))} for text in texts
            ]
        return await json_reply({"texts": entries} | self._ending(withheld))

    async def zero_shot(self, request: Request) -> Response:
        """Hold vectors that are here, or were sent, against words."""
        asked = await read_json(request, ZeroShotRequest)
        prompts = await anyio.to_thread.run_sync(self._prompts, asked)
        if asked.result_id is not None:
            kept = await self.answers.kept(asked.result_id)
            images: list[tuple[Side | None, np.ndarray]] = list(kept.breasts.items())
        else:
            if self.answers.withheld(request) is not None:
                raise Refusal("embedding_stays")  # nobody elsewhere has any, and unit vectors would read texts out
            kept = KeptVectors(breasts={}, views={}, aggregation="probabilities")
            images = [(None, vector[None]) for vector in self.unit_vectors(asked.embeddings or [])]
        vectors = await self.answers.vectors(prompts.every_sentence)
        interpreter = self.answers.interpreter

        def answer() -> list[Json]:
            entries: list[Json] = []
            for side, embeddings in images:
                matches = interpreter.match(prompts.sentences, vectors, breast_embedding(embeddings))
                of_set = prompts.prompt_set and interpreter.match_set(
                    prompts.prompt_set, vectors, embeddings, aggregation=kept.aggregation
                )
                sentences = {text: match_json(match) for text, match in matches.items()}
                entries.append({"laterality": side, "prompts": sentences, "prompt_set": of_set and of_set.as_json()})
            return entries

        with timed("answer"):
            entries = await anyio.to_thread.run_sync(answer)
        return await json_reply({"answers": entries, "bundle": self.bundle.sha256, "notice": NOTICE})

    def _prompts(self, asked: ZeroShotRequest) -> Prompts:
        if (asked.result_id is None) == (asked.embeddings is None):
            raise input_error("bad_field", "", problem="send either result_id or embeddings")
        if isinstance(asked.prompts, list):
            if not asked.prompts:
                raise input_error("bad_prompt", "prompts", problem="there is none: send sentences, a set or classes")
            return Prompts(sentences=check_prompts(asked.prompts))
        return prompts_of_object(asked.prompts, self.answers.prompt_sets)

    def unit_vectors(self, embeddings: list[list[float]]) -> np.ndarray:
        """Return the vectors of a request (n, joint), brought to length 1; InputError for what is none."""
        joint = self.bundle.model.joint_dim
        what = f"embeddings are 1 to {MAX_EMBEDDINGS} lists of {joint} finite numbers, not all of them 0"
        if not 0 < len(embeddings) <= MAX_EMBEDDINGS or any(len(vector) != joint for vector in embeddings):
            raise input_error("bad_field", "embeddings", problem=what)
        vectors = np.array(embeddings, np.float64)
        largest = np.abs(vectors).max(axis=1, keepdims=True)
        if not np.all(np.isfinite(largest) & (largest > 0)):  # NaN is not
            raise input_error("bad_field", "embeddings", problem=what)
        vectors /= largest  # squares of very large or small numbers would leave what a float holds
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    def _ending(self, withheld: Finding | None) -> Json:
        """Return what every answer with embeddings ends in."""
        findings = [withheld.as_json()] if withheld else []
        return {"findings": findings, "bundle": self.bundle.sha256, "notice": NOTICE}


async def read_json(request: Request, shape: type[Asked]) -> Asked:
    """Return the JSON body of a request; nothing of what was sent is repeated in an error."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refusal("not_json")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_JSON_BYTES:
            raise Refusal("body_too_large", {"connection": "close"})
    try:
        return await anyio.to_thread.run_sync(_parse, bytes(body), shape)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        named = str(fault["loc"][0]) if fault["loc"] else ""
        field = named if named in shape.model_fields else ""
        what = f"{field}: {fault['msg']}" if field else f"the body has {', '.join(shape.model_fields)} and nothing else"
        raise input_error("bad_field", field, problem=what) from None
    except ValueError:
        raise Refusal("malformed_json") from None


def _parse(body: bytes, shape: type[Asked]) -> Asked:
    return shape.model_validate(plain_object(body), strict=True)


def _image_json(read: _Read, view: PreparedView, vector: np.ndarray, withheld: Finding | None) -> Json:
    return {
        "image": read.numbers.get((view.laterality, view.view)),
        "laterality": view.laterality,
        "view": view.view,
        "embedding": _numbers(vector, withheld),
        "findings": [finding.as_json() for finding in view.findings],
    }


def _numbers(vector: np.ndarray, withheld: Finding | None) -> list[float] | None:
    return None if withheld else vector.astype(np.float64).round(6).tolist()
