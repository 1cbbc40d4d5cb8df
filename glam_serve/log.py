"""The server's log: one handler, no stack traces, no message of an exception, which may hold a value of a patient."""

import json
import logging
import sys
import traceback
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal

LogFormat = Literal["text", "json"]


def where_raised(error: BaseException) -> str:
    """Type of an exception and the line that raised it; not its message, which may hold anything."""
    return _where(type(error), error.__traceback__)


def _where(kind: type[BaseException] | None, trace: TracebackType | None) -> str:
    frames: Sequence[traceback.FrameSummary] = traceback.extract_tb(trace)
    name = kind.__name__ if kind else "error"
    return f"{name} at {frames[-1].filename}:{frames[-1].lineno}" if frames else name


class PlainFormatter(logging.Formatter):
    """Lines without stack traces."""

    def formatException(self, ei: Any) -> str:
        """Return type and place only."""
        return _where(ei[0], ei[2])


class JsonFormatter(PlainFormatter):
    """One JSON object a line: time, level, message, and the fields of a request where the line is about one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a stack trace is type and place only."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry | getattr(record, "fields", {}))


FORMATTERS: dict[LogFormat, logging.Formatter] = {
    "text": PlainFormatter("%(asctime)s %(levelname)s %(message)s"),
    "json": JsonFormatter(),
}


def log_to_stderr(log_format: LogFormat = "text", level: int = logging.INFO) -> None:
    """Point this server's log and LitServe's to stderr, and silence every library: they may quote what they read."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FORMATTERS[log_format])
    for name, limit in (("glam_serve", level), ("litserve", max(level, logging.WARNING))):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(limit)
        logger.propagate = False
    logging.getLogger().handlers = [logging.NullHandler()]
    warnings.simplefilter("ignore")
