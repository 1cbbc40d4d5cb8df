"""What a run on a cluster has given out, to whom, and what has come back without being done."""

import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from glam_serve.cohort.items import Shard
from glam_serve.cohort.ray_actor import Failure

log = logging.getLogger(__name__)

MAX_STRIKES = 3
"""Actors that a shard may cost before it is given up."""


@dataclass(eq=False)
class Place:
    """The place of an actor, in which another one is started when it dies."""

    handle: Any
    is_up: bool = False
    """Whether the cluster has found room for it: until then it is given nothing."""
    under_way: int = 0
    has_suspect: bool = False
    deaths: int = 0


class Call(NamedTuple):
    """What Ray was asked."""

    actor: Place
    handle: Any
    """Of the actor that was in this place then."""
    shard: Shard | None
    """None: whether the actor is up."""


@dataclass
class Work:
    """What is given out, and to whom."""

    shards: Iterator[Shard | None]
    actors: list[Place]
    calls: dict[Any, Call] = field(default_factory=dict)
    returned: deque[Shard] = field(default_factory=deque)
    """Shards of actors that are left out."""
    suspects: deque[Shard] = field(default_factory=deque)
    """Shards whose actor died: given out again one at a time, so that the guilty one is found."""
    strikes: dict[int, int] = field(default_factory=dict)
    given_up: list[int] = field(default_factory=list)
    failure: Failure | None = None
    """The last one that took an actor out."""

    def next_shard(self) -> Shard | None:
        """Return a shard that is no suspect; None where there is none."""
        if self.returned:
            return self.returned.popleft()
        return next((shard for shard in self.shards if shard is not None), None)

    def is_left(self) -> bool:
        """Whether there is a shard that no actor has."""
        if not self.suspects and (shard := self.next_shard()) is not None:
            self.returned.appendleft(shard)
        return bool(self.suspects or self.returned)

    def strike(self, shard: Shard) -> None:
        """Have a shard whose actor died done again, or give it up."""
        self.strikes[shard.number] = self.strikes.get(shard.number, 0) + 1
        if self.strikes[shard.number] < MAX_STRIKES:
            self.suspects.append(shard)
        else:
            log.error("shard %d is given up: it ended %d actors", shard.number, MAX_STRIKES)
            self.given_up.append(shard.number)
