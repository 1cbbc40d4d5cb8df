"""How the client asks over HTTP: the server that was named, and no other."""

import http.client
import urllib.error
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    UnknownHandler,
)


def _opener() -> OpenerDirector:
    """Return what follows no redirection: images and keys are for one server, and a redirection is no success."""
    opener = OpenerDirector()
    asking = (ProxyHandler(), UnknownHandler(), HTTPHandler(), HTTPSHandler())
    for handler in (*asking, HTTPDefaultErrorHandler(), HTTPErrorProcessor()):
        opener.add_handler(handler)
    return opener


OPENER = _opener()


def body_of(error: urllib.error.HTTPError) -> bytes:
    """Return the body of an answer that is no success; empty where it was cut short."""
    try:
        return error.read()
    except (OSError, http.client.HTTPException):
        return b""
