"""A Ray cluster: which one, how many actors it has room for, and the connection to it.

Ray is imported here alone, when a run asks for it. Its statistics of usage, which it would send to its makers, are off.
"""

import logging
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

NOWHERE = "http://127.0.0.1:9"
"""Ray reports once even that its statistics are off (`UsageStatsHead`)."""
HERE = "local"
"""Ray's address of a cluster that it starts."""
LEAST_SHARE = 1e-4
"""Of a core or a GPU: Ray counts in ten-thousandths."""
NOT_STARTED = "Ray started no cluster here"
"""How the message begins that says so."""
OBJECT_STORE_BYTES = 100_000_000
"""Of a cluster of this machine alone: shards are small, and squares never leave their actor."""


@dataclass(frozen=True, kw_only=True)
class RayOptions:
    """Which cluster, and what of it."""

    address: str | None = None
    """Of a cluster: auto for the one that this machine is part of, or ray://HOST:PORT. None: one is started here."""
    actors: int | None = None
    """Copies of the model, each with its own readers. None: as many as the machines have room for."""
    num_cpus: float = 1
    """Cores that each takes."""
    num_gpus: float = 0
    """GPUs that each takes; 0.25 puts four on a GPU."""

    def __post_init__(self) -> None:
        if self.actors is not None and self.actors < 1:
            raise ValueError(f"actors {self.actors} is not above 0")
        if self.num_cpus and not LEAST_SHARE <= self.num_cpus <= 10_000:
            raise ValueError(f"num_cpus {self.num_cpus} is not a number of cores: 0, or {LEAST_SHARE} to 10,000")
        is_counted = not self.num_gpus or LEAST_SHARE <= self.num_gpus <= 1_000
        if not is_counted or (self.num_gpus > 1 and self.num_gpus % 1):
            raise ValueError(f"num_gpus {self.num_gpus} is neither a share of a GPU nor a number of them")

    @property
    def is_here(self) -> bool:
        """Whether a cluster is started on this machine."""
        return self.address in (None, "", HERE)


def num_actors(nodes: Iterable[Any], options: RayOptions) -> int:
    """Return how many actors to start; ValueError where none would ever have a place.

    As many as were asked for wait for machines of a cluster that may grow; one that is started here does not.
    """
    if options.actors is not None and not options.is_here:
        return options.actors
    room = room_for_actors(nodes, options)
    return options.actors or room


def room_for_actors(nodes: Iterable[Any], options: RayOptions) -> int:
    """Return how many actors the living nodes of a cluster hold at the same time; ValueError where it is none.

    nodes: as `ray.nodes()` lists them.
    """
    wants = {"CPU": options.num_cpus, "GPU": options.num_gpus}
    count = 0
    for node in nodes:
        has = node["Resources"]
        shares = [_share(has.get(name, 0), amount) for name, amount in wants.items() if amount]
        count += min(shares, default=1) if node["Alive"] else 0
    if count == 0:
        wanted = f"{options.num_cpus:g} cores and {options.num_gpus:g} GPUs"
        way_out = "ask for less" if options.is_here else "ask for less, or say --actors to wait for machines"
        raise ValueError(f"no machine of the cluster has {wanted} for an actor: {way_out}")
    return count


def _share(has: float, wanted: float) -> int:
    """Return how often an amount is there; a GPU that is cut into parts is not put together with another one."""
    if wanted < 1:
        return int(has) * int(1 / wanted + 1e-9) + int(has % 1 / wanted + 1e-9)
    return int(has / wanted + 1e-9)


def import_ray() -> Any:
    """Import Ray with its statistics of usage switched off, which it would send home."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_USAGE_STATS_REPORT_URL"] = NOWHERE
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what it will be; without it Ray warns
    import ray
    import ray.exceptions

    return ray


@contextmanager
def silent() -> Iterator[None]:
    """Have a cluster that is started meanwhile leave out its process of statistics.

    It would ask three clouds whether it runs there, before it looks whether statistics are wanted.
    """
    from ray._private import services

    start = services.start_api_server
    services.start_api_server = lambda *_, **__: (None, None)
    try:
        yield
    finally:
        services.start_api_server = start


@contextmanager
def connected(options: RayOptions) -> Iterator[Any]:
    """Give Ray, connected; one that was connected before stays so.

    RuntimeError: a cluster does not start here. ConnectionError: there is none at the address.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield ray
        return
    here = {
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
    }
    handler = signal.getsignal(signal.SIGTERM)  # Ray puts one of its own in its place
    with silent() if options.is_here else nullcontext(), _told_of_no_cluster(options.address):
        ray.init(
            address=HERE if options.is_here else options.address,
            log_to_driver=False,  # what actors print stays with them
            logging_level=logging.ERROR,
            **(here if options.is_here else {}),
        )
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _told_of_no_cluster(address: str | None) -> Iterator[None]:
    """Raise a RuntimeError where Ray gives up waiting for its own processes, for which it has no class of exception.

    ConnectionError: nothing answers at an address ray://HOST:PORT, or it wants a token that Ray only sends when told.
    """
    try:
        yield
    except ConnectionError as error:
        if not (address or "").startswith("ray://"):
            raise
        way_out = "give the port of --ray-client-server-port, and set RAY_AUTH_MODE=token where the cluster has a token"
        raise ConnectionError(f"no Ray answers at {address} ({error}): {way_out}") from None
    except Exception as error:
        if type(error) is not Exception:
            raise
        way_out = "it waits 15 to 30 s for its own processes; the same command goes on when the machine is less busy"
        raise RuntimeError(f"{NOT_STARTED}: {way_out} ({error})") from None
