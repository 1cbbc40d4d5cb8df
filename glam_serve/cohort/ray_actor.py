"""What runs on the machines of a cluster: an actor takes shards one after the other and says what became of each.

It runs the same engine as one machine does. Shards come while the engine works, so that the processes that read files
do not wait at the end of a shard. What goes wrong is told as data: an exception of ours may quote a header.
"""

import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Literal, NamedTuple

from glam.bundle import BundleError
from glam.runtime import EngineUnavailableError
from glam.store.run_key import read_run
from glam.store.schema import RUN_FILE, StoreError
from glam_serve.cohort.engines import Engine
from glam_serve.cohort.faults import SourceGoneError
from glam_serve.cohort.items import Shard
from glam_serve.cohort.runner import Committed

FEED_S = 0.02
"""How long an engine waits for a shard before it looks after its processes again."""
SEEN_S = 60.0
"""Longest time after which a file that one machine wrote is seen on another: NFS looks for new names so seldom."""

REFUSALS = (StoreError, BundleError, EngineUnavailableError)
"""Exceptions whose messages are sentences of ours."""


class Failure(NamedTuple):
    """Why an actor does no shard any more."""

    kind: Literal["refused", "gone", "system", "fault"]
    """What the caller asked for is refused; images do not come any more; the system's refusal; a fault of ours."""
    code: str
    message: str
    number: int = 0
    """Of the system's error."""


class ShardActor:
    """An engine in a process of the cluster. Several of its methods run at a time, each in a thread."""

    def __init__(self, make_engine: Callable[[], Engine], store: Path, run_key: str) -> None:
        """Take what is needed; nothing is opened before the first shard comes, so that a restart costs little."""
        self._make_engine = make_engine
        self._store = store
        self._run_key = run_key
        self._coming = queue.SimpleQueue[Shard]()
        self._lock = threading.Lock()
        self._outcomes: dict[int, Future[Committed | Failure]] = {}
        self._failure: Failure | None = None
        self._worker: threading.Thread | None = None

    def is_up(self) -> bool:
        """Return True: who asks waits until the actor has a place."""
        return True

    def commit(self, shard: Shard) -> Committed | Failure:
        """Put a shard into the store, and return when it is there."""
        outcome = Future[Committed | Failure]()
        with self._lock:
            if self._failure is not None:
                return self._failure
            self._outcomes[shard.number] = outcome
            self._coming.put(shard)
            if self._worker is None:
                _hide_main_module()
                self._worker = threading.Thread(target=self._work, name="shards", daemon=True)
                self._worker.start()
        return outcome.result()

    def _work(self) -> None:
        is_starting = True
        try:
            check_store(self._store, self._run_key)
            engine = self._make_engine()
            is_starting = False
            for committed in engine.run(self._store, self._shards(), threading.Event()):
                with self._lock:
                    self._outcomes.pop(committed.shard).set_result(committed)
        except BaseException as error:  # told to whoever waits for the shards
            failure = failure_of(error, is_starting=is_starting)
            with self._lock:
                self._failure = failure
                for outcome in self._outcomes.values():
                    outcome.set_result(failure)

    def _shards(self) -> Iterator[Shard | None]:
        """Yield what comes, for as long as the actor lives; None where nothing came for a while."""
        while True:
            try:
                yield self._coming.get(timeout=FEED_S)
            except queue.Empty:
                yield None


def check_store(store: Path, run_key: str, *, patience_s: float = SEEN_S) -> None:
    """Refuse a folder that is not the store of the run, as this machine sees it: StoreError `store_not_shared`."""
    deadline = time.monotonic() + patience_s
    while not (store / RUN_FILE).is_file() or read_run(store).config.key != run_key:
        if time.monotonic() > deadline:
            way_out = "give --out a folder that every machine of the cluster has at the same path"
            raise StoreError("store_not_shared", f"an actor finds no store of this run at {store}: {way_out}")
        time.sleep(0.2)


def failure_of(error: BaseException, *, is_starting: bool) -> Failure:
    """Return what may be told of an exception: our sentences, the system's, and of faults their place alone.

    `is_starting`: whether it was raised while the engine was made, where a ValueError says what the caller is to give.
    Later a library's may have what it was raised about in its message, and it is the shard's fault, not the actor's.
    """
    code = str(getattr(error, "code", ""))
    if isinstance(error, ModuleNotFoundError) and error.name:
        return Failure("refused", "", f"{error.name} is not installed on a machine of the cluster")
    if isinstance(error, SourceGoneError):
        return Failure("gone", code, str(error))
    if isinstance(error, REFUSALS) or (is_starting and type(error) is ValueError):
        return Failure("refused", code, str(error))
    if isinstance(error, OSError):
        place = f": {error.filename}" if error.filename else ""
        return Failure("system", code, f"{error.strerror or error}{place}", error.errno or 0)
    frames = "".join(traceback.format_list(traceback.extract_tb(error.__traceback__)))
    return Failure("fault", "internal_error", f"{type(error).__name__} in\n{frames}")


def _hide_main_module() -> None:
    """Have the processes that read files not import the main module of a Ray worker, which is all of Ray."""
    main = sys.modules["__main__"]
    if getattr(main, "__spec__", None) is None:
        main.__file__ = None
