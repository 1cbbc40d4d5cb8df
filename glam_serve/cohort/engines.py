"""Where the runners of a cohort are: in this process. The protocol is what another engine has to keep to."""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from glam_serve.cohort.items import Shard
from glam_serve.cohort.runner import Committed, Runner


class Engine(Protocol):
    """Shards in, committed shards out, in any order. A shard may be done twice: the second makes the same file.

    `glam_serve.cohort.ray_engine` has the one of several machines.
    """

    def run(self, store: Path, shards: Iterable[Shard | None], stop: threading.Event) -> Iterator[Committed]:
        """Commit shards to a store; InterruptedRun soon after `stop` is set.

        Of `shards`, None says that there is none at the moment, and more may come.
        """
        ...


@dataclass(frozen=True)
class LocalEngine:
    """One model in this process, fed by processes beside it."""

    runner: Runner

    def run(self, store: Path, shards: Iterable[Shard | None], stop: threading.Event) -> Iterator[Committed]:
        """Commit shards in the order of the plan."""
        return self.runner.run(store, shards, stop)
