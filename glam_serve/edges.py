"""What may stand before and behind the parts of a multipart body (RFC 2046 5.1.1), left out as the body comes in."""

from python_multipart.multipart import parse_options_header
from starlette.types import Scope


class FormEdges:
    """Takes a body in pieces and returns what a parser of forms reads: from the first boundary to the closing one.

    A body of another kind passes as it is.
    """

    def __init__(self, scope: Scope) -> None:
        boundary = _boundary(scope)
        self._is_form = bool(boundary)
        self._line = b"\r\n--" + boundary
        self._kept = b"\r\n"  # the end of what came so far: a boundary may be cut in two, and the first needs no line
        self._has_begun = False
        self._has_ended = False

    @property
    def is_whole(self) -> bool:
        """Whether the closing boundary has come."""
        return self._has_ended or not self._is_form

    @property
    def missing(self) -> str:
        """What a body lacks that has ended and is not whole."""
        if self._has_begun:
            return "its last boundary is missing: the upload was cut short, send it again"
        return "the boundary of its Content-Type is not in it: let your HTTP library write that header"

    def inner(self, body: bytes) -> bytes:
        """Return the part of the next piece that lies between the edges."""
        if not self._is_form:
            return body
        if self._has_ended:
            return b""
        return self._until_end(body) if self._has_begun else self._from_begin(body)

    def _from_begin(self, body: bytes) -> bytes:
        seen = self._kept + body
        begin = seen.find(self._line)
        if begin < 0:
            self._kept = seen[-len(self._line) :]
            return b""
        self._has_begun, self._kept = True, b"\r\n"
        return self._until_end(seen[begin + 2 :])

    def _until_end(self, body: bytes) -> bytes:
        closing = self._line + b"--"
        end = self._place_of(closing, body)
        if end is None:
            self._kept = (self._kept + body[-len(closing) :])[-len(closing) :]
            return body
        self._has_ended = True
        return body[: end + len(closing)]

    def _place_of(self, closing: bytes, body: bytes) -> int | None:
        """Return where the closing boundary begins in a piece, below 0 where in the one before; None: it is not here.

        Only the seam of the two pieces is copied: they may be megabytes.
        """
        across = (self._kept + body[: len(closing)]).find(closing)
        if across >= 0:
            return across - len(self._kept)
        within = body.find(closing)
        return within if within >= 0 else None


def _boundary(scope: Scope) -> bytes:
    """Return the boundary of a multipart/form-data body; nothing for a body of another kind."""
    kind, options = parse_options_header(dict(scope["headers"]).get(b"content-type"))
    return options.get(b"boundary", b"") if kind == b"multipart/form-data" else b""
