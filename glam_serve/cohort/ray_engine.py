"""Runners on the machines of a Ray cluster: this process gives out shards, and gives those of a lost actor to others.

The store is a folder that every machine sees; actors commit, this process counts. A shard may so be done twice, and the
second one makes the same file.
"""

import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from glam.store.schema import StoreError, errors_name, part_name
from glam_serve.cohort.decoders import POLL_S, InterruptedRun
from glam_serve.cohort.engines import Engine
from glam_serve.cohort.faults import SourceGoneError
from glam_serve.cohort.items import Shard
from glam_serve.cohort.ray_actor import SEEN_S, Failure, ShardActor
from glam_serve.cohort.ray_cluster import RayOptions, connected, import_ray, num_actors
from glam_serve.cohort.ray_work import MAX_STRIKES, Call, Place, Work
from glam_serve.cohort.runner import Committed

log = logging.getLogger(__name__)

WINDOW = 3
"""Shards that an actor has at a time: one that is written, one that is read, one that comes."""
MAX_DEATHS = 5
"""In the place of an actor, without a shard that was finished between them."""
PATIENCE_S = 30.0
"""Time without an actor at work after which it is said what they wait for, and said again."""


@dataclass(frozen=True, kw_only=True)
class RayEngine:
    """One engine an actor, on as many machines as the cluster has."""

    make_engine: Callable[[], Engine]
    """Called in each actor; it crosses by pickle."""
    run_key: str
    options: RayOptions = field(default_factory=RayOptions)

    def __post_init__(self) -> None:
        """Refuse at once where Ray is not installed."""
        import_ray()

    def run(self, store: Path, shards: Iterable[Shard | None], stop: threading.Event) -> Iterator[Committed]:
        """Commit shards, each when it is done; InterruptedRun soon after `stop` is set.

        RuntimeError: no actor is left that goes on, or shards were given up because their actors died again and again.
        What the others did stays. SourceGoneError: images came to no actor. ConnectionError: there is no cluster at the
        address.
        """
        options = self.options
        with connected(options) as ray:
            remote = ray.remote(ShardActor).options(
                num_cpus=options.num_cpus,
                num_gpus=options.num_gpus,
                max_restarts=0,  # this process starts another one: nobody else knows which shards it had
                max_concurrency=WINDOW + 1,
                scheduling_strategy="SPREAD",
            )
            start = partial(remote.remote, self.make_engine, store.absolute(), self.run_key)
            actors = [Place(start()) for _ in range(num_actors(ray.nodes(), options))]
            try:
                yield from _Driver(ray, store, start, Work(iter(shards), actors)).run(stop)
            finally:
                for actor in actors:
                    with suppress(Exception):  # of a cluster that is gone
                        ray.kill(actor.handle)


class _Driver:
    """One run: gives shards out, waits, and takes back what lost actors had."""

    def __init__(self, ray: Any, store: Path, start: Callable[[], Any], work: Work) -> None:
        self._ray = ray
        self._store = store
        self._start = start
        self._work = work
        self._idle_since = time.monotonic()

    def run(self, stop: threading.Event) -> Iterator[Committed]:
        """Yield shards as they are done."""
        work = self._work
        for actor in work.actors:
            self._ask_whether_up(actor)
        while self._give_out():
            done, _ = self._ray.wait(list(work.calls), num_returns=1, timeout=POLL_S)
            if stop.is_set():
                raise InterruptedRun
            self._tell_of_waiting()
            for call in done:
                committed = self._take(call)
                if committed is not None:
                    self._see(committed)
                    yield committed
        if work.given_up:
            numbers = ", ".join(map(str, sorted(work.given_up)))
            way_out = "find the file with glam-embed run without --engine ray"
            raise RuntimeError(f"shards {numbers} ended {MAX_STRIKES} actors each; all others are done: {way_out}")

    def _give_out(self) -> bool:
        """Give every actor what it has room for; False: everything is done."""
        work = self._work
        for actor in work.actors:
            while (shard := self._next_for(actor)) is not None:
                work.calls[actor.handle.commit.remote(shard)] = Call(actor, actor.handle, shard)
                actor.under_way += 1
        is_left = work.is_left()
        if is_left and not work.actors:
            self._raise_failure()
        return is_left or any(call.shard is not None for call in work.calls.values())

    def _next_for(self, actor: Place) -> Shard | None:
        if not actor.is_up or actor.has_suspect or actor.under_way == WINDOW:
            return None
        if not self._work.suspects:
            return self._work.next_shard()
        if actor.under_way:
            return None  # it takes a suspect when it has nothing else
        actor.has_suspect = True
        return self._work.suspects.popleft()

    def _ask_whether_up(self, actor: Place) -> None:
        self._work.calls[actor.handle.is_up.remote()] = Call(actor, actor.handle, None)

    def _take(self, call: Any) -> Committed | None:
        """Take what Ray answered; the shard, where one is done."""
        actor, handle, shard = self._work.calls.pop(call)
        is_there = handle is actor.handle and actor in self._work.actors
        try:
            answer = self._ray.get(call)
        except self._ray.exceptions.RayError as error:
            if shard is not None:
                self._work.strike(shard)
            if is_there:
                self._replace(actor, type(error).__name__)
            return None
        if shard is None:
            actor.is_up = is_there
            return None
        if is_there:
            actor.under_way -= 1
            actor.has_suspect = False
        if isinstance(answer, Failure):
            self._part_with(actor, shard, answer, is_there=is_there)
            return None
        actor.deaths = 0
        return answer

    def _replace(self, actor: Place, reason: str) -> None:
        """Start another actor in place of one that died, or cannot be reached."""
        log.warning("an actor ended (%s): what it had under way is done again", reason)
        actor.deaths += 1
        with suppress(Exception):  # one that lives on beyond a network must not go on beside its successor
            self._ray.kill(actor.handle)
        if actor.deaths > MAX_DEATHS:
            self._work.failure = Failure("fault", "actor_died", f"{reason}, {MAX_DEATHS} times in a row")
            self._work.actors.remove(actor)
            return
        actor.handle = self._start()
        actor.is_up = actor.has_suspect = False
        actor.under_way = 0
        self._ask_whether_up(actor)

    def _part_with(self, actor: Place, shard: Shard, failure: Failure, *, is_there: bool) -> None:
        """Go on without an actor that cannot; after a fault another one begins, for it may be the shard's."""
        if failure.number in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(failure.number, failure.message)
        if failure.kind == "fault":
            self._work.strike(shard)
            if is_there:
                log.error("%s: %s", failure.code, failure.message)
                self._replace(actor, failure.code)
            return
        self._work.returned.append(shard)
        if is_there:
            log.warning("an actor is left out: %s", failure.message)
            self._work.failure = failure
            self._work.actors.remove(actor)

    def _raise_failure(self) -> None:
        failure = self._work.failure or Failure("fault", "actor_died", "there was none")
        if failure.kind == "system":
            raise OSError(failure.number, failure.message)
        if failure.kind == "refused":
            raise StoreError(failure.code, failure.message)
        if failure.kind == "gone":
            raise SourceGoneError(failure.message)
        raise RuntimeError(f"{failure.code}: no actor is left: {failure.message}")

    def _see(self, committed: Committed) -> None:
        """Wait until this machine sees the files that another one wrote: the part, and the errors that it counts."""
        files = [self._store / part_name(committed.shard)]
        if committed.problems:
            files.append(self._store / errors_name(committed.shard))
        deadline = time.monotonic() + SEEN_S
        while not all(path.exists() for path in files):
            if time.monotonic() > deadline:
                way_out = "give --out a folder that every machine of the cluster has at the same path"
                message = f"shard {committed.shard} was committed by an actor and is not in {self._store}"
                raise StoreError("store_not_shared", f"{message}: {way_out}")
            os.listdir(self._store)  # noqa: PTH208  # which has NFS look again
            time.sleep(POLL_S)

    def _tell_of_waiting(self) -> None:
        now = time.monotonic()
        if any(actor.is_up for actor in self._work.actors):
            self._idle_since = now
        elif now - self._idle_since > PATIENCE_S:
            self._idle_since = now
            log.warning("no actor has a place in the cluster yet: it has no room, or machines are still to come")
