"""What /metrics tells Prometheus: counts and times over all processes of the server, never a value of a request.

The processes write into files of one folder (prometheus_client's multiprocess mode), which has to be named before the
library is imported: `use_folder` comes first, in the supervisor, and the others inherit it.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge, Histogram

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
BATCH = (1, 2, 4, 8, 16, 32)


def use_folder(folder: str) -> None:
    """Have this process and those it starts keep their metrics in `folder`, an empty one."""
    os.environ[FOLDER_VARIABLE] = folder


class Metrics(NamedTuple):
    """The metrics of a server."""

    requests: "Counter"
    """By route and status."""
    request_seconds: "Histogram"
    """From the head of a request to its answer, by route."""
    stage_seconds: "Histogram"
    """Parts of that time: upload, read, wait, model."""
    batch_size: "Histogram"
    """Views that ran through the model together."""
    restarts: "Counter"
    """Processes that were replaced, by kind."""
    findings: "Counter"
    """Findings told, by code."""
    waiting: "Gauge"
    """Requests taken and not yet answered."""
    spooled: "Gauge"
    """Bytes of uploads held."""


def make_metrics() -> Metrics:
    """Return the metrics of this process; `use_folder` has been called before, here or in a parent."""
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

    registry = CollectorRegistry()  # its own: a process that makes them twice, as tests do, must not clash
    return Metrics(
        requests=Counter("glam_requests", "Requests answered.", ["route", "status"], registry=registry),
        request_seconds=Histogram(
            "glam_request_seconds", "Head of a request to its answer.", ["route"], buckets=SECONDS, registry=registry
        ),
        stage_seconds=Histogram(
            "glam_stage_seconds", "Parts of a request's time.", ["stage"], buckets=SECONDS, registry=registry
        ),
        batch_size=Histogram(
            "glam_batch_size", "Views that ran through the model together.", buckets=BATCH, registry=registry
        ),
        restarts=Counter("glam_restarts", "Processes that were replaced.", ["kind"], registry=registry),
        findings=Counter("glam_findings", "Findings told.", ["code"], registry=registry),
        waiting=Gauge("glam_waiting", "Requests not yet answered.", registry=registry, multiprocess_mode="livesum"),
        spooled=Gauge("glam_spooled_bytes", "Bytes of uploads held.", registry=registry, multiprocess_mode="livesum"),
    )


def exposition() -> tuple[bytes, str]:
    """Return the metrics of all processes in Prometheus' text format, and its media type."""
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return generate_latest(registry), CONTENT_TYPE_LATEST


def process_ended(pid: int) -> None:
    """Take the gauges of a process that ended out of the sums."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid)


def stages(seconds: Mapping[str, float]) -> str:
    """Return the parts of a request's time as a Server-Timing header (W3C): milliseconds."""
    return ", ".join(f"{name};dur={1000 * value:.1f}" for name, value in seconds.items())
