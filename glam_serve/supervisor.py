"""The parent of a server: it owns the socket, starts the other processes, and replaces what dies or hangs.

It loads no model and has one thread, so that it can fork API processes at any time.
"""

import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import time
from dataclasses import dataclass
from multiprocessing.process import BaseProcess

import uvicorn

from glam_serve.children import begin_as_child
from glam_serve.connections import counting
from glam_serve.dispatch import DispatchServer
from glam_serve.heap import keep_freed_memory
from glam_serve.hub_process import HubHangsError, hub_answers_within
from glam_serve.restarts import RESTART_PAUSE_S, Restarts
from glam_serve.vitals import BEAT_S, CANNOT_LOAD, is_stopped

log = logging.getLogger(__name__)

STALE_S = 10.0
"""Age of a heartbeat beyond which a process is taken to hang."""
STOPPED_S = 1.0
"""A process may be stopped this long; beyond, it is replaced."""
FIRST_BEAT_S = 120.0
"""Time from a process's start to its first heartbeat: imports, and loading the model."""
HUB_ANSWER_S = 5.0
"""Longest time that the hub may take to answer the supervisor; beyond, everything starts anew with another hub."""


class StartError(RuntimeError):
    """The server did not come up."""


@dataclass(kw_only=True)
class Member:
    """A process of the server, and since when it has given no sign of life."""

    process: BaseProcess
    started: float
    stopped_since: float | None = None


class ApiServer(uvicorn.Server):
    """uvicorn, ended by the supervisor's SIGTERM alone."""

    def handle_exit(self, sig: int, frame: object) -> None:
        """Drain at SIGTERM; Ctrl-C and a closed terminal reach the supervisor, which sends one."""
        if sig == signal.SIGTERM:
            self.should_exit = True


class Supervisor:
    """Runs a server until it is told to stop."""

    def __init__(self, server: DispatchServer, listener: socket.socket, *, grace_s: float) -> None:
        self.server = server
        self.listener = listener
        self.grace_s = grace_s
        self.vitals = server.vitals
        self.hub: Member | None = None
        self.metrics = server.metrics
        self.apis: dict[int, Member] = {}
        self.workers: dict[int, Member] = {}
        self.restarts = Restarts(self.vitals.num_workers)
        self.was_ready = False
        """Whether a worker has ever loaded the model."""
        self.stopping = False

    def run(self) -> None:
        """Serve until SIGTERM, SIGINT or SIGHUP, then answer what is under way; StartError when it does not come up."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop)
        try:
            while not self.stopping:
                self._serve_on_one_hub()
            log.info("stopping: what is under way is answered, for at most %g s", self.grace_s)
            self._drain()
        finally:
            self._kill_all()
            self.listener.close()

    def _serve_on_one_hub(self) -> None:
        """Start everything and watch it until the server is stopped; without its hub, nothing of it is kept.

        Requests and answers go with the hub, and their clients are told at once.
        """
        started = time.monotonic()
        try:
            self._start_all()
            while not self.stopping and self._hub_lives():
                self._replace_lost()
                self._wait_for_a_death()
        except HubHangsError as error:
            if self.hub is None:  # the first one: another would not fare better
                raise StartError(f"the process that holds the queue did not start: {error}") from error
            log.error("the hub gives no answer (%s): starting another", error)
        if not self.stopping:
            self.metrics.restarts.labels("hub").inc()
            self._kill_all()
            time.sleep(max(0.0, RESTART_PAUSE_S - (time.monotonic() - started)))

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def _start_all(self) -> None:
        """Start the hub, and the processes that stand on it."""
        with hub_answers_within(HUB_ANSWER_S):
            self._manager = self.server.start_hub(self.listener)  # kept: the hub ends with it
        self.hub = Member(process=self._manager.process, started=time.monotonic())
        self.restarts.clear()
        for index in range(self.vitals.num_workers):
            self._start_worker(index, self._next_start_of_worker(index))
        for index in range(self.vitals.num_apis):
            self._start_api(index)

    def _next_start_of_worker(self, index: int) -> int:
        with hub_answers_within(HUB_ANSWER_S):
            return self.server.next_start_of_worker(index)

    def _start_worker(self, index: int, start: int) -> None:
        process = self.server.start_worker(index, start)
        self.workers[index] = Member(process=process, started=time.monotonic())

    def _start_api(self, index: int) -> None:
        self.vitals.forget_api(index)
        self.server.slots.forget_api(index)
        process = multiprocessing.get_context("fork").Process(
            target=_serve_api, args=(self.server, self.listener, index, os.getpid(), self.grace_s), name=f"api-{index}"
        )
        process.start()
        self.apis[index] = Member(process=process, started=time.monotonic())

    def _hub_lives(self) -> bool:
        """Say whether the hub is there; HubHangsError when it is, and does not answer."""
        assert self.hub is not None
        if self._is_lost(self.hub, time.monotonic(), "the hub"):
            return False
        if self.hub.stopped_since is None:
            with hub_answers_within(HUB_ANSWER_S):
                self.server.hub.num_waiting()
        return True

    def _replace_lost(self) -> None:
        """Replace what is dead, stopped or silent, unless the hub is stopped, without which nothing can start."""
        assert self.hub is not None
        if self.hub.stopped_since is not None:
            return
        for index, member in list(self.apis.items()):
            if not self.stopping and self._is_lost(member, self.vitals.api_beats[index], f"API process {index}"):
                self.metrics.restarts.labels("api").inc()
                self._start_api(index)
        self._replace_workers()

    def _replace_workers(self) -> None:
        self.was_ready = self.was_ready or any(self.vitals.worker_ready)
        for index, member in list(self.workers.items()):
            if not self.stopping and self._is_lost(member, self.vitals.worker_beats[index], f"worker {index}"):
                self._plan_restart(index, self.workers.pop(index))
        for index, start in [] if self.stopping else self.restarts.take_due():
            self.metrics.restarts.labels("worker").inc()
            self._restart_worker(index, start)

    def _wait_for_a_death(self) -> None:
        """Return when a process has ended, or after a quarter of a second."""
        assert self.hub is not None
        members = [self.hub, *self.apis.values(), *self.workers.values()]
        multiprocessing.connection.wait([member.process.sentinel for member in members], timeout=BEAT_S)

    def _restart_worker(self, index: int, start: int) -> None:
        """Start another incarnation of a worker; where the machine has no room for a process, try again later."""
        try:
            self._start_worker(index, start)
        except OSError as error:
            pause_s = self.restarts.plan(index, start=start, started=time.monotonic(), was_ready=False)
            log.error("worker %d could not be started (%s): next try in %.0f s", index, error.strerror, pause_s)

    def _plan_restart(self, index: int, lost: Member) -> None:
        """Give up what a lost worker was at, and note when it is started again; StartError where none ever could."""
        if lost.process.exitcode == CANNOT_LOAD and not self.was_ready:
            raise StartError("a worker could not load the model: its lines above say why")
        was_ready = bool(self.vitals.worker_ready[index])
        self.vitals.worker_ready[index] = 0
        start = self._next_start_of_worker(index)
        pause_s = self.restarts.plan(index, start=start, started=lost.started, was_ready=was_ready)
        if not was_ready:
            ready, of = self.vitals.num_ready(), self.vitals.num_workers
            log.error("worker %d was not ready: next try in %.0f s; %d of %d are ready", index, pause_s, ready, of)

    def _is_lost(self, member: Member, beat: float, name: str) -> bool:
        """Say whether a process is gone; one that hangs is killed first."""
        process, now = member.process, time.monotonic()
        if not process.is_alive():
            log.error("%s ended with %s: starting another", name, process.exitcode)
            return True
        assert process.pid is not None
        stopped = is_stopped(process.pid)
        member.stopped_since = (member.stopped_since or now) if stopped else None
        silent = now - beat > STALE_S if beat else now - member.started > FIRST_BEAT_S
        if silent or (member.stopped_since is not None and now - member.stopped_since > STOPPED_S):
            log.error("%s gives no sign of life: killed, starting another", name)
            process.kill()
            process.join()
            return True
        return False

    def _drain(self) -> None:
        """Let the API processes answer what they have taken; no new connection is accepted."""
        self.listener.close()
        for member in self.apis.values():
            member.process.terminate()
        deadline = time.monotonic() + self.grace_s + 2
        for member in self.apis.values():
            member.process.join(max(0.0, deadline - time.monotonic()))

    def _kill_all(self) -> None:
        hub = [self.hub] if self.hub else []
        for member in (*self.apis.values(), *self.workers.values(), *hub):
            member.process.kill()
            member.process.join()


def _serve_api(server: DispatchServer, listener: socket.socket, index: int, parent: int, grace_s: float) -> None:
    """Accept and answer, in a forked API process."""
    begin_as_child(parent, f"api-{index}")
    keep_freed_memory()
    server.become_api(index)
    config = uvicorn.Config(
        app=server.app,
        http=counting(server.metrics),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # a caller may write any address into X-Forwarded-For
        timeout_graceful_shutdown=max(1, round(grace_s)),
    )
    ApiServer(config).run([listener])
