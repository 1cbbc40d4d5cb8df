"""From an API process to a worker and back: LitServe's app and loops over the hub, with an end for every request."""

import asyncio
import pickle
import socket
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess
from typing import Any

import litserve
from fastapi import FastAPI
from litserve.loops import inference_worker
from litserve.utils import LitAPIStatus, ResponseBufferItem

from glam_serve.account import current_account
from glam_serve.children import spawn_bound
from glam_serve.hub import Envelope, Hub, HubTransport, WorkerQueue
from glam_serve.hub_process import HubManager, start_hub
from glam_serve.metrics import Metrics
from glam_serve.slots import ReadingSlots, num_cores
from glam_serve.vitals import BEAT_S, Places, Vitals


class WorkerLostError(Exception):
    """The worker ended while it had the request."""


@dataclass(kw_only=True)
class Pending(ResponseBufferItem):
    """A request that an API process waits for."""

    place: int
    ticket: int


class DispatchServer(litserve.LitServer):
    """LitServe's app and workers, with queues that lose no request.

    It stands on names that LitServe does not publish, so the tests hold them (`litserve>=0.2.19,<0.3`).
    """

    def __init__(self, api: litserve.LitAPI, vitals: Vitals, metrics: Metrics, **options: Any) -> None:
        super().__init__(api, workers_per_device=vitals.num_workers, **options)
        self.api = api
        self.vitals = vitals
        self.metrics = metrics
        self.slots = ReadingSlots(vitals, num_cores())
        self.api_index = 0
        self._hub: Hub | None = None
        self._places: Places | None = None

    # In the supervisor

    def start_hub(self, listener: socket.socket | None = None) -> HubManager:
        """Start the process that holds the queues; `listener` is not kept open in it."""
        manager, self._hub = start_hub(self.vitals, listener)
        return manager

    def next_start_of_worker(self, index: int) -> int:
        """Return the number of a worker's next incarnation; requests that the last one had begun are lost.

        The API processes are told so.
        """
        begun = set()
        for uid, place, ticket in self.hub.taken(index):
            if self.vitals.begun[place] == ticket:
                self.vitals.lost[place] = ticket
                begun.add(uid)
        return self.hub.worker_started(index, frozenset(begun))

    def start_worker(self, index: int, start: int) -> BaseProcess:
        """Start a worker's `start`-th incarnation."""
        self.vitals.worker_beats[index] = 0
        self.vitals.worker_ready[index] = 0
        queue = WorkerQueue(self.hub, self.vitals, worker=index, start=start)
        transport = HubTransport(self.hub, worker=index)
        call = partial(
            inference_worker,
            self.api,
            "cpu",
            index,
            queue,  # pyright: ignore[reportArgumentType]  # it has what LitServe's loops call
            transport,
            {},
            self._callback_runner,
            restart_workers=False,
        )
        return spawn_bound(call, name=f"worker-{index}")

    @property
    def hub(self) -> Hub:
        """The queues."""
        assert self._hub is not None, "start_hub comes first"
        return self._hub

    # In an API process

    def become_api(self, index: int) -> None:
        """Take the part of the API process with this index, in the process that was forked for it."""
        self.api_index = index
        self.slots.become_api(index)
        self.app.response_queue_id = index  # pyright: ignore[reportAttributeAccessIssue]
        self._places = Places(self.vitals, index)
        self._transport = HubTransport(self.hub)
        self._transport.start = self.hub.api_started(index)

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Beat, and watch for requests that were lost, for as long as the API process serves."""
        async with super().lifespan(app):
            tasks = [asyncio.create_task(self._beat()), asyncio.create_task(self._watch_for_losses())]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()

    async def ask(self, payload: Any, *, timeout_s: float) -> Any:
        """Return what a worker answers; TimeoutError at the deadline, WorkerLostError when the worker ended."""
        assert self._places is not None
        place, ticket = self._places.take()
        uid, pending = str(uuid.uuid4()), Pending(event=asyncio.Event(), place=place, ticket=ticket)
        self.response_buffer[uid] = pending
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.to_thread(self._put, uid, pending, payload)
                await pending.event.wait()
        finally:  # answered, late, or the client has gone: nobody waits for it any more
            del self.response_buffer[uid]
            self._places.give_back(place)
        if pending.response is None:
            raise WorkerLostError
        response, status = pending.response
        if status != LitAPIStatus.OK:
            raise RuntimeError("the worker's loop failed")  # GlamAPI.predict raises nothing
        return response

    def _put(self, uid: str, pending: Pending, payload: Any) -> None:
        """Pickle and queue a request: in a thread, it may be megabytes."""
        body = pickle.dumps(payload, pickle.HIGHEST_PROTOCOL)  # an array is copied once, not twice
        envelope = Envelope(
            api=self.api_index,
            uid=uid,
            place=pending.place,
            ticket=pending.ticket,
            caller=current_account().caller,
            body=body,
        )
        try:
            self.hub.put(envelope)
        except (EOFError, OSError):  # the hub has ended, and this process is about to be replaced
            raise WorkerLostError from None

    async def _beat(self) -> None:
        while True:
            self.vitals.api_beats[self.api_index] = time.monotonic()
            await asyncio.sleep(BEAT_S)

    async def _watch_for_losses(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            for pending in list(self.response_buffer.values()):
                assert isinstance(pending, Pending)
                if self.vitals.lost[pending.place] == pending.ticket:
                    pending.event.set()
