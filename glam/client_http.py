"""How the client asks over HTTP: the server that was named, and no other; forms and JSON as bodies."""

import http.client
import json
import secrets
import urllib.error
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.request import (
    BaseHandler,
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    UnknownHandler,
)

from glam.files import JsonDict

Upload = bytes | Path | str


def opener(proxy: str | None = None) -> OpenerDirector:
    """Return what follows no redirection: images and keys are for one server, and a redirection is no success.

    `proxy`: the address of one to ask through. None: no proxy, whatever the environment says.
    """
    handlers: list[BaseHandler] = [UnknownHandler(), HTTPHandler(), HTTPSHandler()]
    if proxy is not None:
        handlers.append(ProxyHandler({"http": proxy, "https": proxy}))
    director = OpenerDirector()
    for handler in (*handlers, HTTPDefaultErrorHandler(), HTTPErrorProcessor()):
        director.add_handler(handler)
    return director


OPENER = opener()


class Body(NamedTuple):
    """What is sent with a request."""

    content: bytes
    media_type: str


def json_body(value: JsonDict) -> Body:
    """Return a value as JSON."""
    return Body(json.dumps(value).encode(), "application/json")


def form_body(files: Sequence[tuple[str, Upload]], texts: Sequence[tuple[str, str]]) -> Body:
    """Return files and texts, by the names of their fields, as multipart/form-data."""
    boundary = secrets.token_hex(16)
    return Body(b"".join(_parts(files, texts, boundary)), f"multipart/form-data; boundary={boundary}")


def body_of(error: urllib.error.HTTPError) -> bytes:
    """Return the body of an answer that is no success; empty where it was cut short."""
    try:
        return error.read()
    except (OSError, http.client.HTTPException):
        return b""


def _parts(files: Sequence[tuple[str, Upload]], texts: Sequence[tuple[str, str]], boundary: str) -> Iterator[bytes]:
    """Yield a multipart/form-data body (RFC 7578)."""
    for name, source in files:
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
        head = f'Content-Disposition: form-data; name="{name}"; filename="{name}.dcm"'
        yield f"--{boundary}\r\n{head}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        yield content
        yield b"\r\n"
    for name, text in texts:
        yield f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
    yield f"--{boundary}--\r\n".encode()
