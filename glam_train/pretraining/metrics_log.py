"""The metrics of a run, in metrics.jsonl, as TensorBoard events, and for a tracker where one is asked for."""

import errno
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from tensorboard.compat.proto import event_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

from glam.files import replacing
from glam_train.pretraining.tracker import Tracker

_pb2: Any = event_pb2  # its classes are made when it is imported


class MetricsLog:
    """metrics.jsonl and TensorBoard events; opening it at a step drops what an interrupted run wrote beyond.

    What is written is in both files at once, or an OSError is raised here and now: torch's SummaryWriter writes in a
    thread of its own, whose errors nobody can catch.

    `tracker`: takes the values too, and is closed with the rest.
    """

    def __init__(self, folder: Path, *, start_step: int, tracker: Tracker | None = None) -> None:
        path = folder / "metrics.jsonl"
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        kept = [line.rstrip(b"\n") + b"\n" for line in lines if _whole_before(line, start_step)]
        if kept != lines:
            with replacing(path) as part:
                part.write_bytes(b"".join(kept))
        self._file = _Appended(path)
        (folder / "tensorboard").mkdir(exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns() / 1e9:.6f}.{socket.gethostname()}.{os.getpid()}"
        self._events = _Appended(folder / "tensorboard" / name)
        self._records = RecordWriter(self._events)
        self._event(file_version="brain.Event:2")
        self._event(step=start_step, session_log=_pb2.SessionLog(status=_pb2.SessionLog.START))
        self._tracker = tracker

    def write(self, step: int, values: dict[str, float]) -> None:
        """Append one line and one event a value."""
        self._file.write((json.dumps({"step": step} | values, allow_nan=False) + "\n").encode())
        for name, value in values.items():
            self._event(step=step, summary={"value": [{"tag": name, "simple_value": value}]})
        if self._tracker is not None:
            self._tracker.write(step, values)

    def close(self) -> None:
        """Close them."""
        self._file.close()
        self._events.close()
        if self._tracker is not None:
            self._tracker.close()

    def _event(self, **content: Any) -> None:
        self._records.write(_pb2.Event(wall_time=time.time(), **content).SerializeToString())


class _Appended:
    """A file at whose end bytes are written whole and at once, so that none are left for when it is closed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab", buffering=0)

    def write(self, content: bytes) -> None:
        """Append; OSError where not all of it could be."""
        if self._file.write(content) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

    def close(self) -> None:
        """Close."""
        self._file.close()


def _whole_before(line: bytes, step: int) -> bool:
    try:
        return json.loads(line)["step"] < step
    except ValueError:  # the line that a kill cut short
        return False
