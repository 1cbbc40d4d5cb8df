"""`glam-serve listen`. Importing this costs nothing: what it needs is imported when it runs."""

import fcntl
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from glam_serve.listen.limits import Limits
from glam_serve.log import LogFormat, log_to_stderr, where_raised

log = logging.getLogger(__name__)
KEY_VARIABLE = "GLAM_API_KEY"


@dataclass(frozen=True, kw_only=True)
class Listen:
    """Take the mammograms that modalities and archives send, ask a server about each study, write the result as JSON.

    The images of a study are in OUT/studies/UID, and the result beside them.
    """

    out: Path = Path("received")
    """Folder of the studies and of the worklist."""
    peers: tuple[str, ...] = ()
    """AE titles that may send; nobody else may. An AE title is no password: let no one else reach the port."""
    aet: str = "GLAM"
    """AE title of this program; who calls another one is refused."""
    host: Literal["127.0.0.1", "0.0.0.0", "::"] = "127.0.0.1"
    """Address to listen on; other machines reach 0.0.0.0 and ::."""
    port: int = 11112
    """Port to listen on."""
    url: str = "http://127.0.0.1:8000"
    """The `glam-serve run` that answers; GLAM_API_KEY in the environment is its key."""
    timeout_s: float = 120.0
    """Longest wait for an answer of it."""
    quiet_s: float = 30.0
    """A study without a new image for so long is complete. One that comes later has the study answered again."""
    hold_s: float = 900.0
    """How long after the result the images stay, for late ones."""
    keep: bool = False
    """Keep the images for ever."""
    list: bool = False
    """Print what came and what became of it, a JSON object a study, and end."""
    log_format: LogFormat = "text"
    """Format of the log, on stderr: lines to read, or a JSON object a line."""
    limits: Limits = field(default_factory=Limits)

    def run(self) -> None:
        """Listen until SIGTERM or Ctrl-C."""
        if self.list:
            self._print_list()
            return
        self._check()
        log_to_stderr(self.log_format)
        threading.excepthook = _log_fault
        from glam.client import Client
        from glam_serve.listen.answer import Answerer, Times
        from glam_serve.listen.receive import Receiver, adopt_strays, application_entity, end, start
        from glam_serve.listen.worklist import STUDIES, Worklist

        entity = application_entity(self.aet, self.peers, self.limits)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        (self.out / STUDIES).mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(self.out):
            worklist = Worklist(self.out)
            strays = adopt_strays(worklist, self.out / STUDIES)
            server = start(entity, (self.host, self.port), Receiver(self.out, worklist, self.limits), self.limits)
            log.info(
                "%s listens on port %d for %d senders; %d images found", self.aet, self.port, len(self.peers), strays
            )
            if not _is_private(self.url):
                log.warning("images, and GLAM_API_KEY if it is set, go to %s unencrypted", urlsplit(self.url).hostname)
            client = Client(url=self.url, timeout_s=self.timeout_s, api_key=os.environ.get(KEY_VARIABLE))
            answerer = Answerer(worklist, client, Times(quiet_s=self.quiet_s, hold_s=self.hold_s, keep=self.keep))
            try:
                answerer.run(stop)
            finally:
                end(server)
                worklist.close()

    def _check(self) -> None:
        if not self.peers:
            raise ValueError("nobody may send: name the AE titles of the senders with --peers")
        if not 0 < self.port <= 65535:
            raise ValueError(f"port {self.port} is not between 1 and 65535")
        if not _is_address(self.url):
            raise ValueError("--url takes an address such as http://127.0.0.1:8000")
        for name in ("quiet_s", "hold_s", "timeout_s"):
            if not 0 <= getattr(self, name) < 1e9:
                raise ValueError(f"--{name.replace('_', '-')} {getattr(self, name):g} is not 0 or more seconds")
        share = self.limits.sender_share
        for name, value in vars(self.limits).items():
            if name != "sender_share" and value < 1:
                raise ValueError(f"--limits.{name.replace('_', '-')} {value} is not above 0")
        if not 0 < share <= 1:
            raise ValueError(f"--limits.sender-share {share:g} is not above 0 and at most 1")
        from glam.reading.source import MAX_BYTES

        if self.limits.file_mb > MAX_BYTES // 1_000_000:
            most = MAX_BYTES // 1_000_000
            raise ValueError(f"--limits.file-mb {self.limits.file_mb} is above {most}, the largest file that is read")

    def _print_list(self) -> None:
        from glam_serve.listen.worklist import Worklist

        worklist = Worklist(self.out, writes=False)
        for study in worklist.studies():
            images, num_gone = worklist.images_of(study.study)
            entry = {
                "study_uid": study.study,
                "state": study.state,
                "code": study.code,
                "sender": study.sender,
                "images": len(images) + num_gone,
                "images_there": len(images),
                "last_image": _time(study.last_image),
                "answers": study.answers,
                "answered_at": _time(study.answered_at),
            }
            sys.stdout.write(json.dumps(entry) + "\n")
        worklist.close()


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_private(url: str) -> bool:
    """Whether nobody on the way to an address can read along."""
    parts = urlsplit(url)
    return parts.scheme == "https" or parts.hostname in ("127.0.0.1", "localhost", "::1")


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _log_fault(fault: threading.ExceptHookArgs) -> None:
    """Say where a thread ended, and not why: the message may quote an image."""
    if fault.exc_value is not None:
        log.error("internal_error: %s", where_raised(fault.exc_value))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder for this process alone; ValueError where another one does. The lock ends with the process."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"another glam-serve listen has {folder}: give another --out") from None
        yield
