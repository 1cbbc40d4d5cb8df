"""How the client asks over HTTP: the server that was named, and no other."""

import http.client
import urllib.error
import urllib.request


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows nothing: images and keys are for the server that was named."""

    def redirect_request(self, *_: object) -> None:
        """Return that there is nothing to ask elsewhere: the redirection is an answer like any other."""


OPENER = urllib.request.build_opener(_NoRedirect)


def body_of(error: urllib.error.HTTPError) -> bytes:
    """Return the body of an answer that is no success; empty where it was cut short."""
    try:
        return error.read()
    except (OSError, http.client.HTTPException):
        return b""
