"""A stand-in for a PACS that does as it is told: one study of the files it is given, and answers of all kinds."""

import json
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from pydicom import Dataset, dcmread

JSON = "application/dicom+json"
BOUNDARY = "the boundary"


@dataclass
class Reply:
    """An answer: status, headers, and the body in pieces; where it is told to, the connection is cut after them."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    """Content-Length; None: that of the body; -1: none is told."""
    is_endless: bool = False
    is_reset: bool = False


@dataclass(frozen=True)
class Asked:
    """A request, and how often its path was asked before."""

    path: str
    parameters: dict[str, str]
    headers: dict[str, str]
    before: int


Rule = Callable[[Asked], Reply | None]
"""What is answered; None: what a good PACS answers."""


def multipart(
    content: bytes, *, boundary: str = BOUNDARY, headers: bytes = b"Content-Type: application/dicom"
) -> bytes:
    line = f"--{boundary}".encode()
    return line + b"\r\n" + headers + b"\r\n\r\n" + content + b"\r\n" + line + b"--\r\n"


MULTIPART = f'multipart/related; type="application/dicom"; boundary="{BOUNDARY}"'


def study_of(header: Dataset, count: int) -> dict:
    value = {"vr": "UI", "Value": [header.StudyInstanceUID]}
    return {"0020000D": value, "00201208": {"vr": "IS", "Value": [count]}}


class StandIn:
    """What is in the PACS, and what it was asked."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.contents = {}
        self.headers: list[Dataset] = []
        for path in files:
            dataset = dcmread(path)
            self.contents[str(dataset.SOPInstanceUID)] = path.read_bytes()
            del dataset.PixelData
            self.headers.append(dataset)
        self.rule: Rule = lambda asked: None
        self.asked: list[Asked] = []
        self.counts = Counter[str]()
        self.url = ""

    def answer(self, path: str, parameters: dict[str, str], headers: dict[str, str]) -> Reply:
        asked = Asked(path, parameters, headers, self.counts[path])
        self.counts[path] += 1
        self.asked.append(asked)
        return self.rule(asked) or self._good(asked)

    def _good(self, asked: Asked) -> Reply:
        parts = asked.path.strip("/").split("/")
        if parts == ["studies"]:
            return self.page([study_of(self.headers[0], len(self.headers))], asked)
        if parts[-1] == "series":
            uids = sorted({str(header.SeriesInstanceUID) for header in self.headers})
            series = [
                {"0020000E": {"vr": "UI", "Value": [uid]}, "00080060": {"vr": "CS", "Value": ["MG"]}} for uid in uids
            ]
            return self.page(series, asked)
        if parts[-1] == "metadata":
            chosen = [header for header in self.headers if header.SeriesInstanceUID == parts[3]]
            return Reply(body=json.dumps([header.to_json_dict() for header in chosen]).encode())
        content = self.contents.get(parts[-1])
        return Reply(404) if content is None else Reply(body=multipart(content), content_type=MULTIPART)

    @staticmethod
    def page(matches: list[dict], asked: Asked) -> Reply:
        offset, limit = int(asked.parameters.get("offset", 0)), int(asked.parameters.get("limit", 1000))
        chosen = matches[offset : offset + limit]
        return Reply(body=json.dumps(chosen).encode()) if chosen else Reply(204)

    def fetched(self) -> list[str]:
        """The places of images that were asked for."""
        return [asked.path for asked in self.asked if "/instances/" in asked.path]


@contextmanager
def stand_in(files: Sequence[Path], *, tls: ssl.SSLContext | None = None) -> Iterator[StandIn]:
    """Serve files on a free port."""
    pacs = StandIn(files)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            reply = pacs.answer(parts.path, dict(parse_qsl(parts.query)), dict(self.headers))
            with suppress(OSError):
                self._send(reply)

        def _send(self, reply: Reply) -> None:
            if reply.is_reset:
                self.close_connection = True
                self.connection.close()
                return
            self.send_response(reply.status)
            if reply.status != 204:
                self.send_header("Content-Type", reply.content_type)
                if reply.length != -1 and not reply.is_endless:
                    self.send_header("Content-Length", str(len(reply.body) if reply.length is None else reply.length))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.close_connection = reply.length is not None or reply.is_endless
            self.end_headers()
            self.wfile.write(reply.body)
            while reply.is_endless:
                self.wfile.write(bytes(1 << 20))

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    pacs.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}"
    try:
        yield pacs
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
