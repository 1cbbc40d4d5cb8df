"""A local S3-compatible server with two buckets' worth of trouble: moto, and a proxy of our own that refuses."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

BUCKET = "mammograms"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "SECRETTEST", "AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def s3_server() -> Iterator[str]:
    """An S3 server of this machine alone; its address."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def put(address: str, key: str, content: bytes) -> None:
    """Put an object into the bucket."""
    kind = {"Content-Type": "application/octet-stream", "x-amz-acl": "public-read"}  # the front asks without a name
    urlopen(Request(f"{address}/{BUCKET}/{key}", data=content, method="PUT", headers=kind)).close()


def upload(address: str, folder: Path) -> None:
    """Make the bucket and put every DICOM file below a folder into it, under its path there."""
    urlopen(Request(f"{address}/{BUCKET}", method="PUT")).close()
    for path in sorted(folder.rglob("*.dcm")):
        put(address, str(path.relative_to(folder)), path.read_bytes())


ERROR = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>"


class _Handler(BaseHTTPRequestHandler):
    """Passes what is asked on, but for keys that say what becomes of them."""

    server: Any

    def do_GET(self) -> None:
        for word, (status, code) in self.server.troubles.items():
            if word in self.path:
                self._answer(status, ERROR.format(code=code).encode())
                return
        if "slow" in self.path:
            self.server.ending.wait(600)
            return
        request = Request(self.server.behind + self.path, headers={"Range": self.headers["Range"]})
        try:
            answer = urlopen(request)
        except HTTPError as refusal:
            answer = refusal
        with answer:
            self._answer(answer.status or 0, answer.read())

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        self.server.asked.append(self.path)


class Troubled:
    """A server in front of another one that answers some keys with errors."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.address = f"http://127.0.0.1:{server.server_port}"

    @property
    def troubles(self) -> dict[str, tuple[int, str]]:
        """Word of a key -> the status and the code that are answered in its place."""
        return self._server.troubles

    @property
    def asked(self) -> list[str]:
        """Paths of what was asked for and answered."""
        return self._server.asked


@contextmanager
def troubled(behind: str) -> Iterator[Troubled]:
    """A server in front of an S3 server."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.behind, server.troubles, server.asked, server.ending = behind, {}, [], threading.Event()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield Troubled(server)
    finally:
        server.ending.set()
        time.sleep(0.05)
        server.shutdown()
        server.server_close()
