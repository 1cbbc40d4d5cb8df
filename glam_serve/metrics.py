"""What /metrics tells Prometheus: counts and times over all processes of the server, never a value of a request.

The processes write into files of one folder (prometheus_client's multiprocess mode), which has to be named before the
library is imported: `metrics_folder` comes first, in the supervisor, and the others inherit it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from glam.own_folder import own_folder
from glam_serve.vitals import Vitals

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Histogram
    from prometheus_client.metrics_core import Metric

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
SHARED_MEMORY = Path("/dev/shm")
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
BATCH = (1, 2, 4, 8, 16, 32)


@contextmanager
def metrics_folder() -> Iterator[Path]:
    """Have this process and those it starts keep their metrics in an empty folder, which is removed at the end.

    It lies in shared memory where there is some: the files are mapped, and a process that writes to a mapped file on a
    full disk is killed, whereas uploads fill the temporary folder and not this one. Those of servers that were killed
    are removed.
    """
    has_memory = SHARED_MEMORY.is_dir() and os.access(SHARED_MEMORY, os.W_OK)
    with own_folder("glam-metrics-", within=SHARED_MEMORY if has_memory else None) as folder:
        os.environ[FOLDER_VARIABLE] = str(folder)
        try:
            yield folder
        finally:
            del os.environ[FOLDER_VARIABLE]


class Metrics(NamedTuple):
    """The metrics of a server that its processes add to."""

    registry: "CollectorRegistry"
    requests: "Counter"
    """By route and status."""
    request_seconds: "Histogram"
    """From the head of a request to its answer, by route."""
    stage_seconds: "Histogram"
    """Parts of that time, by stage."""
    batch_size: "Histogram"
    """Views of the requests that a worker took together."""
    restarts: "Counter"
    """Processes that were replaced, by kind."""
    findings: "Counter"
    """Findings and errors told, by code."""
    cache_lookups: "Counter"
    """Of the result cache, by outcome."""


def make_metrics() -> Metrics:
    """Return the metrics of this process, and of those forked from it; `metrics_folder` comes before."""
    from prometheus_client import CollectorRegistry, Counter, Histogram

    registry = CollectorRegistry()  # its own: a process that makes them twice, as tests do, must not clash

    def counter(name: str, what: str, *labels: str) -> Counter:
        return Counter(name, what, labels, registry=registry)

    def seconds(name: str, what: str, *labels: str) -> Histogram:
        return Histogram(name, what, labels, buckets=SECONDS, registry=registry)

    return Metrics(
        registry=registry,
        requests=counter("glam_requests", "Requests answered.", "route", "status"),
        request_seconds=seconds("glam_request_seconds", "Head of a request to the end of its answer.", "route"),
        stage_seconds=seconds("glam_stage_seconds", "Parts of a request's time.", "stage"),
        batch_size=Histogram(
            "glam_batch_size", "Views of the requests that a worker took together.", buckets=BATCH, registry=registry
        ),
        restarts=counter("glam_restarts", "Processes that were replaced.", "kind"),
        findings=counter("glam_findings", "Findings and errors told.", "code"),
        cache_lookups=counter("glam_cache_lookups", "Look-ups in the result cache.", "outcome"),
    )


class _Live:
    """What the server holds at this moment, as a collector of prometheus_client."""

    def __init__(self, vitals: Vitals, version: dict[str, str]) -> None:
        self.vitals = vitals
        self.version = version

    def collect(self) -> "Iterator[Metric]":
        from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

        yield GaugeMetricFamily("glam_waiting", "Requests not yet answered.", value=sum(self.vitals.waiting))
        yield GaugeMetricFamily("glam_spooled_bytes", "Bytes of uploads held.", value=sum(self.vitals.spooled))
        yield GaugeMetricFamily("glam_workers_ready", "Workers that can answer.", value=self.vitals.num_ready())
        yield InfoMetricFamily("glam_bundle", "What answers here.", value=self.version)


def exposition(metrics: Metrics, vitals: Vitals, *, version: dict[str, str]) -> tuple[bytes, str]:
    """Return the metrics of all processes in Prometheus' text format, and its media type.

    `version`: labels of `glam_bundle_info`.
    """
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    added = metrics.registry
    if FOLDER_VARIABLE in os.environ:
        added = CollectorRegistry()
        MultiProcessCollector(added)
    live = CollectorRegistry()
    live.register(_Live(vitals, version))  # pyright: ignore[reportArgumentType]  # it asks for a subclass, needs none
    return generate_latest(added) + generate_latest(live), CONTENT_TYPE_LATEST
