"""Jobs: a form is answered in the background, and the answer fetched later, from whichever API process."""

import asyncio
import json
import logging
import time
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio
from fastapi import Request, Response

from glam.findings import Finding, InputError
from glam_serve.accept import JSON, NPZ, answer_in, wants_npz
from glam_serve.account import add_seconds, current_account, open_account_of_job
from glam_serve.answers import Answers, Question
from glam_serve.errors import FAULTS, Refusal, error_body
from glam_serve.log import where_raised
from glam_serve.records import JOBS_PATH, AuditFailedError, Records
from glam_serve.replies import prediction_npz
from glam_serve.sharing import stays_here
from glam_serve.store import MAX_OPEN_JOBS, Job, JobRefusal, JobState, new_token
from glam_serve.vitals import SharedLoad

log = logging.getLogger(__name__)

T = TypeVar("T")

FORGOTTEN_AFTER_S = 1.0
"""Pause between two questions whether jobs that wait here were forgotten through another API process."""
LATER = {"retry-after": "10"}
"""When a place for a job may be free again."""
AT_A_TIME = 1
"""Jobs that an API process answers side by side: callers who wait go before those who do not."""


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """A job that was taken, and the request that submitted it."""

    key: str
    job: Job
    request_id: str
    records: Records


class JobRunner:
    """The jobs of an API process; what becomes of them is noted in the hub."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self._turn = asyncio.Semaphore(AT_A_TIME)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._queued: dict[str, asyncio.Task[None]] = {}
        """Jobs that wait for their turn, by id."""
        self._watcher: asyncio.Task[None] | None = None

    async def submit(self, request: Request) -> Response:
        """Take a form, whose fields are checked now and whose files are read later; answer with the job's id."""
        question = await self.answers.question(request)
        withheld = self.answers.withheld(request)
        may_share = self.answers.interpreter.bundle.may_share
        job = Job(
            api=self.answers.server.api_index,
            caller=current_account().caller,
            state="queued",
            stays=not may_share and withheld is None,
        )
        submitted = Submitted(
            key=new_token(), job=job, request_id=request.state.request_id, records=request.app.state.records
        )
        # A task of its own: a caller who leaves meanwhile leaves no job that holds a place and never runs.
        taking = self._keep(asyncio.create_task(self._take(submitted, question, withheld)))
        if code := await asyncio.shield(taking):
            raise Refusal(code, LATER)
        return Response(_status(submitted.key, job), 202, {"location": f"/v1/jobs/{submitted.key}"}, JSON)

    async def look(self, request: Request, job_id: str) -> Response:
        """Return how far a job is, with the answer of one that is done: as .npz where the caller prefers that."""
        job = await self.answers.of_hub(self.answers.server.hub.job, job_id)
        if job is None:
            raise Refusal("no_such_job")
        if job.stays and not stays_here(request):
            raise Refusal("embedding_stays")
        if job.state == "done" and wants_npz(request.headers.get("accept")):
            return Response(job.body, media_type=NPZ, headers={"vary": "accept"})
        content = await anyio.to_thread.run_sync(_status, job_id, job)
        return Response(content, media_type=JSON, headers={"vary": "accept"})

    async def forget(self, job_id: str) -> Response:
        """Drop a job, its form and its answer; one that runs is finished and thrown away."""
        if not await self.answers.of_hub(self.answers.server.hub.forget_job, job_id):
            raise Refusal("no_such_job")
        self._drop(job_id)
        return Response(status_code=204)

    async def _take(self, submitted: Submitted, question: Question, withheld: Finding | None) -> JobRefusal | None:
        """Note a job in the hub and begin it, or return why it is not taken."""
        most = self.answers.limits.share_of(MAX_OPEN_JOBS)
        submit = self.answers.server.hub.submit_job
        try:
            code = await self.answers.of_hub(submit, submitted.key, submitted.job, most)
        except Refusal:
            question.fields.close()
            raise
        if code:
            question.fields.close()
            return code
        if self._watcher is None or self._watcher.done():
            self._watcher = self._keep(asyncio.create_task(self._watch_for_forgotten()))
        self._queued[submitted.key] = self._keep(asyncio.create_task(self._run(submitted, question, withheld)))
        return None

    def _keep(self, task: asyncio.Task[T]) -> asyncio.Task[T]:
        """Hold a task until it is done: the event loop holds none."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _drop(self, key: str) -> None:
        """End a job that waits in this process, and give back its form."""
        if task := self._queued.pop(key, None):
            task.cancel()

    async def _watch_for_forgotten(self) -> None:
        """Drop the jobs that wait here and were forgotten through another API process, while any waits."""
        await asyncio.sleep(FORGOTTEN_AFTER_S)
        while self._queued:
            for key in list(self._queued):
                if await anyio.to_thread.run_sync(self.answers.server.hub.job, key) is None:
                    self._drop(key)
            await asyncio.sleep(FORGOTTEN_AFTER_S)

    async def _run(self, submitted: Submitted, question: Question, withheld: Finding | None) -> None:
        """Answer a job; whatever happens to it is its state, for nobody waits here who could be told."""
        hub, key, job = self.answers.server.hub, submitted.key, submitted.job
        load = SharedLoad(self.answers.server.vitals, self.answers.server.api_index)
        held = question.fields.num_bytes  # the guard counts them for as long as the request lasts, and no longer
        load.add(job.caller, spooled=held)
        open_account_of_job()
        submitted_at = time.perf_counter()
        try:
            async with self._turn:
                add_seconds("queue", time.perf_counter() - submitted_at)
                self._queued.pop(key, None)
                if not await anyio.to_thread.run_sync(hub.advance_job, key, job._replace(state="running")):
                    return
                state, body = await self._outcome(submitted, question, withheld)
            await anyio.to_thread.run_sync(hub.advance_job, key, job._replace(state=state, body=body))
        finally:
            question.fields.close()
            load.add(job.caller, spooled=-held)
            await anyio.to_thread.run_sync(hub.let_go_of_job, key)

    async def _outcome(
        self, submitted: Submitted, question: Question, withheld: Finding | None
    ) -> tuple[JobState, bytes]:
        """Return the state that a job ends in, and its answer as .npz, which is audited first, or its error as JSON."""
        try:
            answered = await self.answers.predict(question)
            result_id = await self.answers.keep(answered)
            body = await anyio.to_thread.run_sync(
                lambda: prediction_npz(question, answered.prediction, withheld=withheld, result_id=result_id)
            )
            await submitted.records.audit_answer(request_id=submitted.request_id, route=JOBS_PATH, status=200)
            return "done", body
        except InputError as error:
            return "failed", _error(error.code, error.message, error.where)
        except Refusal as refusal:
            return "failed", _error(refusal.code, refusal.message)
        except AuditFailedError as error:
            log.error("%s audit_failed: %s", submitted.request_id, error)
            return "failed", _error("audit_failed", FAULTS["audit_failed"].sentence)
        except Exception as error:  # as the guard does for a request: told, and its message kept back
            log.error("a job failed: %s", where_raised(error))
            return "failed", _error("internal_error", FAULTS["internal_error"].sentence)


def _error(code: str, message: str, where: str = "") -> bytes:
    return json.dumps(error_body(code, message, where)).encode()


def _status(key: str, job: Job) -> bytes:
    """Return the JSON of a job, in which the answer or the error goes as it is."""
    nothing = b"null"
    answer = answer_in(job.body) if job.state == "done" else nothing
    error = job.body if job.state == "failed" else nothing
    start = json.dumps({"job_id": key, "state": job.state})[:-1].encode()
    return start + b', "answer": ' + answer + b', "error": ' + error + b"}"
