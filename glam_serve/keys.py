"""API keys: who may ask, checked before a byte of the body is read."""

import hashlib
import hmac
from collections.abc import Sequence
from pathlib import Path

MIN_KEY_CHARS = 16


class ApiKeys:
    """The keys a server accepts, kept as hashes; an empty set accepts everybody."""

    def __init__(self, keys: Sequence[str] = ()) -> None:
        for number, key in enumerate(keys, start=1):
            if len(key) < MIN_KEY_CHARS or not key.isascii() or any(char.isspace() for char in key):
                raise ValueError(
                    f"key {number} is not {MIN_KEY_CHARS} or more ASCII characters without blanks:"
                    " make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
                )
        self._digests = tuple(_digest(key.encode()) for key in keys)

    @classmethod
    def from_file(cls, path: Path) -> "ApiKeys":
        """Read keys, one a line, but for empty lines and those that begin with #; ValueError where there are none."""
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ValueError(f"{path} cannot be read ({error.strerror}): name a file of keys, one a line") from None
        except UnicodeDecodeError:
            raise ValueError(f"{path} is no text: write one key a line") from None
        lines = [line.strip() for line in text.splitlines()]
        keys = [line for line in lines if line and not line.startswith("#")]
        if not keys:
            raise ValueError(f"{path} holds no key: write one a line, or leave out --api-keys")
        return cls(keys)

    def __bool__(self) -> bool:
        return bool(self._digests)

    def accepts(self, headers: dict[bytes, bytes]) -> bool:
        """Say whether a request with these headers may ask."""
        return not self._digests or self.known(headers) is not None

    def known(self, headers: dict[bytes, bytes]) -> bytes | None:
        """Return the hash of the key that headers (names in lower case) bear: X-API-Key, or Authorization: Bearer.

        None: there is none among them that this server knows. Every key is compared, in constant time, so that the time
        of an answer tells nothing.
        """
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        sent = headers.get(b"x-api-key") or (token.strip() if scheme.lower() == b"bearer" else b"")
        digest = _digest(sent)
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        return digest if any(matches) else None


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
