"""Forms, and requests over plain sockets that bear them: what tests and benchmarks of a real server share."""

import http.client
import secrets
import time
from collections.abc import Mapping
from typing import NamedTuple


class Outcome(NamedTuple):
    """How a request ended."""

    status: int
    """0: the connection was refused, or closed before an answer; -1: nothing came in time."""
    seconds: float
    body: bytes = b""


class Form(NamedTuple):
    """A multipart body, encoded once."""

    content_type: str
    body: bytes


def form(files: Mapping[str, bytes | list[bytes]], texts: Mapping[str, str] | None = None) -> Form:
    """Encode files and texts as multipart/form-data; a list is of files that bear the same name."""
    edge = secrets.token_hex(16)
    parts = []
    every = [(name, given if isinstance(given, list) else [given]) for name, given in files.items()]
    for name, content in ((name, content) for name, contents in every for content in contents):
        head = f'--{edge}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}.dcm"\r\n\r\n'
        parts += [head.encode(), content, b"\r\n"]
    for name, text in (texts or {}).items():
        parts.append(f'--{edge}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode())
    return Form(f"multipart/form-data; boundary={edge}", b"".join([*parts, f"--{edge}--\r\n".encode()]))


def ask(port: int, sent: Form, *, timeout_s: float = 60.0, path: str = "/predict") -> Outcome:
    """Send a form on a connection of its own."""
    return _exchange(port, "POST", path, sent, timeout_s)


def ask_for(port: int, path: str, *, timeout_s: float = 60.0, method: str = "GET") -> Outcome:
    """Ask without a body, on a connection of its own."""
    return _exchange(port, method, path, None, timeout_s)


def _exchange(port: int, method: str, path: str, sent: Form | None, timeout_s: float) -> Outcome:
    start = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    headers = {"Content-Type": sent.content_type} if sent else {}
    try:
        connection.request(method, path, sent.body if sent else None, headers)
        answer = connection.getresponse()
        outcome = Outcome(answer.status, 0, answer.read())
    except TimeoutError:
        outcome = Outcome(-1, 0)
    except (OSError, http.client.HTTPException):
        outcome = early_answer(connection)
    finally:
        connection.close()
    return outcome._replace(seconds=time.perf_counter() - start)


def early_answer(connection: http.client.HTTPConnection) -> Outcome:
    """What a server said that did not read the whole request; status 0 when it said nothing."""
    if connection.sock is None:
        return Outcome(0, 0)
    try:
        words = connection.sock.recv(4096).split()
    except OSError:
        return Outcome(0, 0)
    return Outcome(int(words[1]) if len(words) > 1 and words[1].isdigit() else 0, 0)
