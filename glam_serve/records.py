"""What stays of a request when it is over: its line in the log, its part of the metrics, and its line of the audit."""

import logging
from dataclasses import dataclass

import anyio.to_thread

from glam_serve.account import Account
from glam_serve.audit import AuditLog
from glam_serve.metrics import Metrics

log = logging.getLogger("glam_serve")

PROBES = frozenset({"/livez", "/readyz", "/metrics"})
"""Paths that machines ask all day: an answer of 200 to them is no line of the log."""
JOBS_PATH = "/v1/jobs"
NO_MODEL = PROBES | {"/v1/model", "/openapi.json", "/docs", JOBS_PATH, f"{JOBS_PATH}/{{job_id}}"}
"""Paths whose answers are not audited: they tell nothing of an image, or only what a job has written down itself."""


class AuditFailedError(Exception):
    """An answer could not be written to the audit log, and is not given."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """A request that is over."""

    request_id: str
    method: str
    route: str
    status: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Records:
    """Keeps what stays of requests."""

    metrics: Metrics
    audit: AuditLog | None
    bundle: str
    """SHA-256 of bundle.json."""

    async def before_answer(self, *, request_id: str, route: str, status: int) -> None:
        """Write an answer of the model to the audit log; AuditFailedError when it cannot be written."""
        if 200 <= status < 300 and route not in NO_MODEL:
            await self.audit_answer(request_id=request_id, route=route, status=status)

    async def audit_answer(self, *, request_id: str, route: str, status: int) -> None:
        """Write a line, where there is an audit log; AuditFailedError when it cannot be written."""
        if self.audit is not None:
            await anyio.to_thread.run_sync(self._append, request_id, route, status)

    def _append(self, request_id: str, route: str, status: int) -> None:
        assert self.audit is not None
        try:
            self.audit.append(request_id=request_id, bundle=self.bundle, route=route, status=status)
        except (OSError, ValueError) as error:
            raise AuditFailedError(f"{type(error).__name__}: {getattr(error, 'strerror', None) or error}") from None

    def after_answer(self, done: Done, account: Account) -> None:
        """Count a request, and write its line."""
        is_quiet = done.route in PROBES and done.status == 200
        fields = {
            "request_id": done.request_id,
            "method": done.method,
            "route": done.route,
            "status": done.status,
            "ms": round(1000 * done.seconds, 1),
        }
        log.log(
            logging.DEBUG if is_quiet else logging.INFO,
            "%s %s %s %d %.3f s",
            done.request_id,
            done.method,
            done.route,
            done.status,
            done.seconds,
            extra={"fields": fields},
        )
        self.metrics.requests.labels(done.route, str(done.status)).inc()
        self.metrics.request_seconds.labels(done.route).observe(done.seconds)
        for stage, seconds in account.seconds.items():
            self.metrics.stage_seconds.labels(stage).observe(seconds)
        for code in account.codes:
            self.metrics.findings.labels(code).inc()
        if account.cache is not None:
            self.metrics.cache_lookups.labels(account.cache).inc()
