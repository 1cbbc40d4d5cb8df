"""Requests to a PACS that are tried again, and the three ways in which they fail.

- PacsRefusal: the fault of the one thing that was asked for; its code is stable
- SourceGoneError: the service is gone, or refuses us: whatever else is asked for would fail as well
- InterruptedRun: the run was told to stop

Which of the first two it is, a question decides that the service can always answer (`is_there`): an instance is only at
fault where everything else works.
"""

import logging
import math
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlencode

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    SSLError,
)
from urllib3.exceptions import TimeoutError as AnyTimeoutError

from glam_serve.cohort.decoders import InterruptedRun
from glam_serve.cohort.faults import SourceGoneError
from glam_serve.pacs.access import PacsAccess
from glam_serve.pacs.answer import Answer, Patience, closing, drop, is_json, whole_body
from glam_serve.pacs.troubles import PacsRefusal, Trouble

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

Body = TypeVar("Body")

CONNECT_S = 10.0
SILENCE_S = 30.0
"""Longest pause within an answer, and before it; more where there is more time: an archive may fetch from tape."""
LEAST_S = 1.0
"""For an attempt that begins just before the end."""
ATTEMPTS = 4
"""After which the fault is that of what was asked for, if the service answers other questions."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 15.0
"""Between attempts; it doubles."""
TOO_MANY = 429
BUSY = frozenset({408, 425, TOO_MANY})
"""Statuses of a service that will answer later, beside 500 and above."""
REFUSES_US = frozenset({401, 407})
JSON_TYPES = "application/dicom+json, application/json"
PROBE = {"ModalitiesInStudy": "MG", "limit": "1"}
"""A question that hangs on no image. Without a filter some services refuse it, or answer with all that they have."""


class Connection:
    """Keep-alive connections to a PACS; threads may share them."""

    def __init__(self, access: PacsAccess, *, connections: int = 1) -> None:
        self._access = access
        headers = {"User-Agent": "glam-embed", "Accept-Encoding": "identity"}
        if access.authorization is not None:
            headers["Authorization"] = access.authorization
        self._headers = headers
        logging.getLogger("urllib3").setLevel(logging.CRITICAL + 1)  # it quotes addresses: UIDs, and patients' numbers
        self._pool = urllib3.PoolManager(maxsize=connections, ssl_context=access.tls())

    @property
    def shown(self) -> str:
        """The service's name in a message."""
        return self._access.shown

    def ask(
        self,
        path: str,
        read: Callable[[Answer], Body],
        *,
        accept: str,
        patience: Patience,
        parameters: Mapping[str, str] | None = None,
    ) -> Body:
        """Return what `read` makes of the answer below the service's address.

        `read` raises what `spoiled` returns for a body that is not whole or not what it should be, or a PacsRefusal.
        SourceGoneError, InterruptedRun: see the module.
        """
        url = self._url(path, parameters or {})
        attempts, wait_s = 0, FIRST_WAIT_S
        while True:
            try:
                return read(self._answer(url, accept, patience))
            except PacsRefusal as error:
                if self.is_there():
                    raise
                raise self._gone(f"answers no question either ({error.code})") from None
            except Trouble as error:
                trouble = error
            attempts += 1
            self._give_up(trouble, attempts, patience)
            pause = max(trouble.wait_s or 0, min(wait_s * random.uniform(0.5, 1), patience.left_s))
            if patience.stop.wait(pause):
                raise InterruptedRun
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def is_there(self) -> bool:
        """Whether the service answers a question that hangs on no image."""
        with suppress(Trouble, SourceGoneError):
            response = self._response(self._url("/studies", PROBE), JSON_TYPES, SILENCE_S)
            with closing(response, is_read=False):
                is_answer = _refusal_code(response.status) is None
                return is_answer and (response.status == 204 or is_json(response.headers.get("Content-Type", "")))
        return False

    def _give_up(self, trouble: Trouble, attempts: int, patience: Patience) -> None:
        """Raise what a request ends with, unless it is worth another attempt."""
        is_over = (trouble.wait_s or 0) >= patience.left_s
        is_often = attempts >= ATTEMPTS and trouble.wait_s is None
        if trouble.code is not None and (is_over or is_often) and self.is_there():
            raise PacsRefusal(trouble.code)
        if is_over:
            raise self._gone(str(trouble))

    def _gone(self, reason: str) -> SourceGoneError:
        return SourceGoneError(f"{self.shown} {reason}; then the same command goes on")

    def _url(self, path: str, parameters: Mapping[str, str]) -> str:
        query = urlencode(parameters, quote_via=quote, safe="*?,.-")
        return f"{self._access.url}{path}{'?' if query else ''}{query}"

    def _answer(self, url: str, accept: str, patience: Patience) -> Answer:
        silence_s = min(max(SILENCE_S, patience.left_s / ATTEMPTS), max(patience.left_s, LEAST_S))
        response = self._response(url, accept, silence_s)
        with closing(response, is_read=True):
            if (code := _refusal_code(response.status)) is not None:
                raise PacsRefusal(code)
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise PacsRefusal("pacs_malformed")
            body = whole_body(response, patience)
            warning = response.headers.get("Warning", "")
            return Answer(
                response.status, response.headers.get("Content-Type", ""), body, warning.lstrip().startswith("299")
            )

    def _response(self, url: str, accept: str, silence_s: float) -> "BaseHTTPResponse":
        """Return an answer whose body is still to come; its status is a success, or a refusal of what was asked."""
        timeout = urllib3.Timeout(connect=CONNECT_S, read=silence_s)
        try:
            response = self._pool.request(
                "GET",
                url,
                headers=self._headers | {"Accept": accept},
                timeout=timeout,
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except SSLError as error:
            reason = getattr(error.args[0] if error.args else None, "verify_message", "")
            if reason:
                raise self._gone(f"is not who it should be ({reason}): see `ca` in --auth-file") from None
            raise Trouble("ends the TLS connection: see `certificate` in --auth-file") from None
        except (NameResolutionError, NewConnectionError) as error:
            raise Trouble("cannot be reached" + _reason(error)) from None
        except ConnectTimeoutError:
            raise Trouble("cannot be reached") from None
        except AnyTimeoutError:
            raise Trouble("does not answer in time", "pacs_slow") from None
        except (HTTPError, OSError):
            raise Trouble("breaks the connection off", "pacs_cut") from None
        if response.status in REFUSES_US:
            drop(response)
            reason = f"refuses the credentials (status {response.status}): see --auth-file"
            raise Trouble(reason, "pacs_forbidden", wait_s=math.inf)  # some say so of one study
        if response.status in BUSY or response.status >= 500:
            drop(response)
            code = None if response.status == TOO_MANY else "pacs_failed"
            wait_s = _retry_after_s(response.headers.get("Retry-After", ""))
            raise Trouble(f"is busy or down (status {response.status})", code, wait_s=wait_s)
        return response


def _refusal_code(status: int) -> str | None:
    """Return why an answer is no success; a redirection is none either: credentials go to one service alone."""
    if status in (200, 204, 206):
        return None
    return {403: "pacs_forbidden", 404: "pacs_missing", 410: "pacs_missing"}.get(status, "pacs_refused")


def _retry_after_s(text: str) -> float | None:
    """Return the seconds of a Retry-After, which is a number or a date (RFC 9110 10.2.3); None for none that reads."""
    if text.strip().isdecimal():
        return float(text)
    with suppress(ValueError, TypeError):
        date = parsedate_to_datetime(text)
        return max((date - datetime.now(UTC)).total_seconds(), 0.0)
    return None


def _reason(error: NameResolutionError | NewConnectionError) -> str:
    """Return what the system says about an address, in brackets."""
    cause = error.__cause__ or error.__context__
    reason = getattr(cause, "strerror", None)
    return f" ({reason})" if reason else ""
