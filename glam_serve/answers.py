"""Questions and their answers: files are read and vectors interpreted here, the model runs in a worker."""

import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import anyio
import numpy as np
from fastapi import Request

from glam.engine import Squares
from glam.exam import ExamPrediction, exam_prediction
from glam.findings import Finding, InputError, input_error
from glam.licence import withheld_embeddings
from glam.pair import PreparedBreast
from glam.predict import Interpreter
from glam.prediction import DEFAULT_INCLUDE, INCLUDES, Aggregation, Prediction, check_include
from glam.view import Side, ViewName
from glam.words.prompt_sets import PromptSet
from glam_serve.account import add_seconds, timed
from glam_serve.cache import ResultCache
from glam_serve.dispatch import DispatchServer, WorkerLostError
from glam_serve.errors import Refusal
from glam_serve.limits import Limits
from glam_serve.prompts import BATCH, Prompts, SentenceVectors, prompts_of_form
from glam_serve.sharing import ASK_DIRECTLY, stays_here
from glam_serve.store import new_token
from glam_serve.uploads import FormFields, UploadReader, read_form
from glam_serve.worker import ModelAnswer, ModelRequest, Unanswered

if TYPE_CHECKING:  # the packages that read a store are not those of a server without one
    from glam.store.search import StoreVectors

T = TypeVar("T")
Vectors = Mapping[str, np.ndarray]
"""Sentence -> its unit vector (joint,)."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A form, every field of it checked."""

    fields: FormFields
    include: frozenset[str]
    prompts: Prompts


class Answered(NamedTuple):
    """What the model says, and which patients of the server's store it is of; empty: of none, or there is no store."""

    prediction: Prediction | ExamPrediction
    patients: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class KeptVectors:
    """What is kept of an answer for further questions; it leaves the processes of the server in no answer."""

    breasts: dict[Side, np.ndarray]
    """(view, joint) each, unit length."""
    views: dict[Side, tuple[ViewName, ...]]
    """Of each breast, in the order of its vectors."""
    aggregation: Aggregation
    patients: frozenset[str] = frozenset()
    """As the server's store names them."""


class Answers:
    """Answers to forms, and to questions about vectors."""

    def __init__(
        self,
        server: DispatchServer,
        interpreter: Interpreter,
        *,
        limits: Limits,
        cache: ResultCache[Answered],
        prompt_sets: Mapping[str, PromptSet] | None = None,
        store: "StoreVectors | None" = None,
    ) -> None:
        """`store`: of the same bundle, in which like cases are looked for; None: there is none."""
        self.server = server
        self.interpreter = interpreter
        self.reader = UploadReader(interpreter.bundle.model.frame, server.slots)
        self.limits = limits
        self.cache = cache
        self.prompt_sets = prompt_sets or {}
        self.sentences = SentenceVectors()
        self.store = store

    async def question(self, request: Request) -> Question:
        """Read a form; InputError for a field that cannot be followed."""
        fields = await read_form(request)
        try:
            include = parse_include(fields.include)
            prompts = Prompts()
            if fields.prompts:
                prompts = await anyio.to_thread.run_sync(prompts_of_form, fields.prompts, self.prompt_sets)
        except InputError:
            fields.close()
            raise
        return Question(fields=fields, include=include, prompts=prompts)

    async def predict(self, question: Question) -> Answered:
        """Answer for one breast, or for an exam where `images` were sent, or as an earlier request was answered."""
        key = await self.cache.key(question.fields)  # before the files are read, and closed
        answered = self.cache.find(key)
        if answered is None:
            answered = await self._predict(question)
            self.cache.keep(key, answered)
        question.fields.close()
        return answered

    async def _predict(self, question: Question) -> Answered:
        fields, sentences = question.fields, question.prompts.sentences
        if not fields.images:
            breast = await self.reader.breast(fields, sentences)
            return Answered((await self._predictions([breast], question))[0], await self.patients([breast]))
        exam = await self.reader.exam(fields, sentences)
        breasts = list(exam.breasts.values())
        predictions = await self._predictions(breasts, question)
        prediction = exam_prediction(exam, dict(zip(exam.breasts, predictions, strict=True)))
        return Answered(prediction, await self.patients(breasts))

    async def patients(self, breasts: Sequence[PreparedBreast]) -> frozenset[str]:
        """Return the names that the store has for the patients of breasts; in a thread, it may have a million rows."""
        names = {name for breast in breasts for name in breast.patient_ids}
        return frozenset() if self.store is None else await anyio.to_thread.run_sync(self.store.patients_named, names)

    async def embed(self, squares: Sequence[Squares]) -> list[np.ndarray]:
        """Return the unit vectors (joint,) of squares, of one view each."""
        answer = await self.ask(ModelRequest(breasts=tuple(squares)))
        return [vector for breast in answer.breasts for vector in breast.embeddings.values()]

    async def vectors(self, sentences: Sequence[str]) -> Vectors:
        """Return the unit vectors of sentences; those that were asked lately need no worker."""
        found: dict[str, np.ndarray] = self.sentences.known(sentences)
        missing = [text for text in dict.fromkeys(sentences) if text not in found]
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            tokens = await anyio.to_thread.run_sync(self.interpreter.tokens, batch)
            answer = await self.ask(ModelRequest(tokens=tokens))
            assert answer.texts is not None
            embedded = dict(zip(batch, answer.texts, strict=True))
            self.sentences.keep(embedded)
            found |= embedded
        return found

    async def ask(self, request: ModelRequest) -> ModelAnswer:
        """Return what the model says; a Refusal where no answer comes."""
        start = time.perf_counter()
        try:
            answer = await self.server.ask(request, timeout_s=self.limits.deadline_s)
        except TimeoutError:
            raise Refusal("timed_out") from None
        except WorkerLostError:
            raise Refusal("worker_lost") from None
        if answer is None:
            raise Refusal("internal_error")
        if isinstance(answer, Unanswered):
            raise Refusal(answer.code)
        add_seconds("model", answer.model_s)
        add_seconds("wait", max(0.0, time.perf_counter() - start - answer.model_s))
        return answer

    async def of_hub(self, call: Callable[..., T], *args: object) -> T:
        """Return what a call of the hub returns; a Refusal where the hub has ended, and everything starts anew."""
        try:
            return await anyio.to_thread.run_sync(call, *args)
        except (EOFError, OSError):
            raise Refusal("worker_lost") from None

    def withheld(self, request: Request) -> Finding | None:
        """Return why this request may get no embedding; None: it may."""
        return withheld_embeddings(
            may_share=self.interpreter.bundle.may_share, stays_here=stays_here(request), way_out=ASK_DIRECTLY
        )

    async def keep(self, answered: Answered) -> str:
        """Keep the vectors of an answer for a while; return the id to ask for them by."""
        prediction = answered.prediction
        breasts = [prediction] if isinstance(prediction, Prediction) else list(prediction.breasts.values())
        return await self.keep_vectors(
            KeptVectors(
                breasts={one.laterality: np.stack([view.embedding for view in one.views.values()]) for one in breasts},
                views={one.laterality: tuple(view.view for view in one.views.values()) for one in breasts},
                aggregation=breasts[0].aggregation,
                patients=answered.patients,
            )
        )

    async def keep_vectors(self, kept: KeptVectors) -> str:
        """Keep vectors for a while; return the id to ask for them by."""
        token = new_token()
        await self.of_hub(self.server.hub.keep_result, token, pickle.dumps(kept))
        return token

    async def kept(self, result_id: str) -> KeptVectors:
        """Return what `keep` kept; a Refusal where there is nothing of this id any more."""
        content = await self.of_hub(self.server.hub.result, result_id)
        if content is None:
            raise Refusal("no_such_result")
        return pickle.loads(content)  # of `keep_vectors`: nobody else can put anything there

    async def _predictions(self, breasts: Sequence[PreparedBreast], question: Question) -> list[Prediction]:
        """Run the model on breasts of the same prompts, and interpret its vectors in a thread."""
        vectors = await self.vectors(question.prompts.every_sentence)
        answer = await self.ask(ModelRequest(breasts=tuple(breast.squares for breast in breasts)))

        def interpret() -> list[Prediction]:
            return [
                self.interpreter.prediction(
                    breast,
                    out,
                    vectors,
                    prompt_set=question.prompts.prompt_set,
                    aggregation=question.fields.aggregation,
                )
                for breast, out in zip(breasts, answer.breasts, strict=True)
            ]

        with timed("answer"):
            return await anyio.to_thread.run_sync(interpret)


def parse_include(include: Sequence[str] | None) -> frozenset[str]:
    """Return the parts of an answer that the fields name; the usual ones when there are no fields."""
    if include is None:
        return frozenset(DEFAULT_INCLUDE)
    names = [name.strip() for field in include for name in field.split(",") if name.strip()]
    try:
        return check_include(names)
    except ValueError:
        raise input_error("bad_include", "include", names=", ".join(INCLUDES)) from None
