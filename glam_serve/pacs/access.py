"""Where a PACS is and as whom it is asked: from a file or the environment, so that no list of processes shows it."""

import os
import ssl
import sys
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from glam.files import json_object

USER_VARIABLE, PASSWORD_VARIABLE, TOKEN_VARIABLE = (
    *("GLAM_DICOMWEB_USER", "GLAM_DICOMWEB_PASSWORD", "GLAM_DICOMWEB_TOKEN"),
)
FILE_KEYS = ("user", "password", "token", "certificate", "key", "key_password", "ca")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, kw_only=True)
class PacsAccess:
    """A DICOMweb service and what it is asked with. It goes to the processes that read files; nothing prints it."""

    url: str
    """Without a slash at its end: `/studies` follows it."""
    authorization: str | None = field(default=None, repr=False)
    """Value of the header, Basic or Bearer."""
    certificate: Path | None = None
    """Of this client, PEM."""
    key: Path | None = None
    """Its private key; None: it is in the file of the certificate."""
    key_password: str | None = field(default=None, repr=False)
    ca: Path | None = None
    """Certificates that the service's is checked by, PEM; None: those of the system."""

    @property
    def shown(self) -> str:
        """The service's name in a message."""
        return urlsplit(self.url).netloc

    def tls(self) -> ssl.SSLContext | None:
        """Return what checks the service's certificate, None for http; ValueError for files that do not read."""
        if not self.url.startswith("https:"):
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except OSError as error:  # ssl.SSLError is one
            raise ValueError(f"{self.ca} does not read as certificates ({_why(error)}): give a PEM file") from None
        if self.certificate is not None:
            try:
                context.load_cert_chain(self.certificate, self.key, password=self.key_password or "")
            except (OSError, ValueError) as error:
                files = f"{self.certificate} with {self.key or 'the key in it'}"
                message = f"{files} does not load ({_why(error)}): give PEM files of one key, and its key_password"
                raise ValueError(message) from None
        return context


def read_access(url: str, auth_file: Path | None, environment: Mapping[str, str] = os.environ) -> PacsAccess:
    """Return how a PACS is asked; ValueError for an address or credentials that cannot be used.

    A file of credentials is a JSON object with `user` and `password`, or `token`, or `certificate` (and `key`,
    `key_password`), and `ca`; paths in it begin at its folder. Without a file they come from the environment.
    """
    url = _checked_url(url)
    content = _of_environment(environment) if auth_file is None else _of_file(auth_file)
    folder = Path() if auth_file is None else auth_file.absolute().parent
    files = {name: folder / content[name] for name in ("certificate", "key", "ca") if name in content}
    access = PacsAccess(
        url=url, authorization=_authorization(content), key_password=content.get("key_password"), **files
    )
    if access.authorization and url.startswith("http:") and urlsplit(url).hostname not in LOOPBACK:
        raise ValueError(f"credentials would go to {access.shown} unencrypted: give an https:// address")
    access.tls()  # files that do not read are told now, not by each process
    return access


def _checked_url(url: str) -> str:
    example = "--dicomweb takes an address such as https://pacs.example/dicom-web"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(example) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError(example)
    if parts.username is not None or parts.password is not None:
        way_out = f"put them into --auth-file, or into {USER_VARIABLE} and {PASSWORD_VARIABLE}"
        raise ValueError(f"--dicomweb has credentials in it, which every user of this machine can read: {way_out}")
    if parts.query or parts.fragment:
        raise ValueError("--dicomweb has a ? or # in it: filters go into --query")
    return parts.geturl().rstrip("/")  # its scheme in small letters, by which everything else goes


def _of_environment(environment: Mapping[str, str]) -> dict[str, str]:
    names = {"user": USER_VARIABLE, "password": PASSWORD_VARIABLE, "token": TOKEN_VARIABLE}
    return {key: environment[name] for key, name in names.items() if environment.get(name)}


def _of_file(path: Path) -> dict[str, str]:
    try:
        content: dict[str, Any] = json_object(path.read_bytes())
        mode = path.stat().st_mode
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}): name a JSON file of credentials") from None
    except ValueError:  # whose message may quote the file
        raise ValueError(f"{path} is no JSON object: write {{{FILE_KEYS[0]!r}: ...}} in double quotes") from None
    if strange := sorted(content.keys() - set(FILE_KEYS)):
        raise ValueError(f"{path} has the key {strange[0]!r}: it may have {', '.join(FILE_KEYS)}")
    if not all(isinstance(value, str) and value for value in content.values()):
        raise ValueError(f"{path} has a value that is no text: write texts in double quotes")
    if mode & 0o077 and content.keys() - {"ca"}:
        sys.stderr.write(f"glam-embed: {path} can be read by others on this machine: chmod 600 {path}\n")
    return content


def _authorization(content: Mapping[str, str]) -> str | None:
    has_user = "user" in content or "password" in content
    if has_user and "token" in content:
        raise ValueError("the credentials of --dicomweb are both a user and a token: give one of them")
    if "token" in content:
        return _header_value(f"Bearer {content['token']}")
    if not has_user:
        return None
    if not ("user" in content and "password" in content):
        raise ValueError("the credentials of --dicomweb lack a user or a password: give both")
    if ":" in content["user"]:  # RFC 7617 2
        raise ValueError("the user of --dicomweb has a colon in it, which Basic authentication cannot say")
    pair = f"{content['user']}:{content['password']}".encode()
    return f"Basic {b64encode(pair).decode()}"


def _header_value(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise ValueError("the token of --dicomweb has characters that no header can hold: is there a line end in it?")
    return text


def _why(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
