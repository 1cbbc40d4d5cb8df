"""Images on an object store, read into memory: `s3://BUCKET/KEY`, or whatever fsspec opens. Nothing is put on a disk.

What is wrong with one object is told as of a file. What is wrong with the store as a whole ends the run: an outage says
nothing about the files that come up meanwhile.
"""

import errno
import re
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any

from glam.files import URL
from glam.reading.source import MAX_BYTES
from glam_serve.cohort.faults import SourceGoneError

S3 = ("s3", "s3a")
AZURE = ("az", "abfs", "abfss")
"""Schemes whose URLs may be CONTAINER@ACCOUNT.dfs.core.windows.net: that names no user."""
WEB = ("http", "https")
NOT_READ = frozenset(
    (
        *("file", "local", "asynclocal", "async_wrapper", "asyncwrapper", "arrow_hdfs", "dask", "data", "git"),
        *("blockcache", "cached", "filecache", "simplecache", "dvc", "wandb"),
        *("dir", "generic", "libarchive", "reference", "tar", "zip"),
    )
)
"""Schemes of fsspec that are not read: of files on this machine, of copies on its disk, and of other file systems."""
S3_OPTIONS: Mapping[str, Any] = {
    "config_kwargs": {"connect_timeout": 5, "read_timeout": 10, "retries": {"total_max_attempts": 1}},
    "use_listings_cache": False,
}
S3_ATTEMPTS = 1
"""Of s3fs, and of botocore below it: the attempts are ours, so that a silent store ends the run within 70 s."""
WAITS_S = (1.0, 4.0, 15.0)
"""Between attempts at an object: a store that is asked too much wants time."""
CREDENTIAL_CODES = frozenset(
    ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired")
)
"""Of an S3 error: nothing can be read, not this object alone. So it is with `RequestTimeTooSkewed`, a wrong clock."""

CREDENTIAL_ERROR = re.compile("Credential|Token|Authentication")
"""In the name of an error of whatever back end."""


class StorageError(SourceGoneError):
    """An object store that cannot be read from at all: the run ends, and the same command goes on.

    `code`: storage_credentials or storage_unreachable.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type["StorageError"], tuple[str, str]]:
        return StorageError, (self.code, str(self))


class ObjectError(OSError):
    """One object that its store does not give, though it gives others."""


CREDENTIALS = StorageError(
    "storage_credentials",
    "the object store does not know who asks: give every machine credentials that are valid"
    " (as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), and run the same command again",
)
NOT_OPENED = StorageError(
    "storage_credentials",
    "the object store cannot be opened: give every machine the account and the credentials that its back end takes"
    " from the environment, and run the same command again",
)
UNREACHABLE = StorageError(
    "storage_unreachable",
    "the object store does not answer, or only with errors: run the same command again when it does;"
    " if it is a single object that is never given, leave its row out",
)


def check_urls(names: Iterable[str]) -> None:
    """Refuse URLs that are not read here, before anything is begun; ModuleNotFoundError: what reads them is missing."""
    schemes = set[str]()
    for name in names:
        if "://" not in name:
            continue
        scheme, _, rest = name.partition("://")
        if "::" in name or _names_user(scheme.lower(), rest):
            raise ValueError("a path names a user, a key or a chain of file systems: the store would keep it")
        if URL.match(name):
            schemes.add(scheme.lower())
    for scheme in sorted(schemes):
        _check_scheme(scheme)


def _names_user(scheme: str, rest: str) -> bool:
    """Whether a URL has something in it that is for whoever asks alone."""
    user, has_user, _ = rest.partition("/")[0].rpartition("@")
    if scheme in AZURE:
        return ":" in user or "@" in user
    return bool(has_user) or (scheme in WEB and "?" in rest)  # as a link that is signed has


def _check_scheme(scheme: str) -> None:
    if scheme in S3:
        import_module("s3fs")
        return
    refusal = f"paths of the kind {scheme}:// are not read here: give s3:// or what else fsspec opens on other machines"
    if scheme in NOT_READ:
        raise ValueError(refusal)
    try:
        _class_of(scheme)
    except ImportError as error:
        module = error.name or getattr(error.__cause__, "name", None)
        way_out = f"pip install {module}" if module else str(error)
        raise ValueError(f"what reads paths of the kind {scheme}:// is not installed: {way_out}") from None
    except ValueError:
        raise ValueError(refusal) from None


def _class_of(scheme: str) -> Any:
    """Return the class of fsspec that reads a scheme; ValueError: there is none; ImportError: it is not installed."""
    from fsspec.registry import get_filesystem_class

    return get_filesystem_class("abfs" if scheme in AZURE else scheme)


def read_object(url: str) -> bytes:
    """Return the bytes of an object, at most one more than a file may have.

    FileNotFoundError, PermissionError, ObjectError: of this object. StorageError: of the whole store.
    """
    scheme, _, place = url.partition("://")
    url = f"{scheme.lower()}://{place}"  # back ends know schemes in small letters alone
    files = _file_system_of(url)
    for wait_s in (*WAITS_S, None):
        try:
            content = files.cat_file(url, start=0, end=MAX_BYTES + 1)
        except (FileNotFoundError, IsADirectoryError):
            raise FileNotFoundError(errno.ENOENT, "no such object") from None
        except Exception as error:  # every back end has errors of its own
            if _code(error) == "InvalidRange" or _status(error) == 416:  # of an object without bytes
                return b""
            _raise_where_final(error)
            if wait_s is None:
                return _ended(files)
            time.sleep(wait_s)
        else:
            _GIVEN[id(files)] = url
            return content
    raise AssertionError("the last attempt ends it")


_GIVEN: dict[int, str] = {}
"""File system -> the last object that it gave, by which a broken object is told from a broken store."""


def _ended(files: Any) -> bytes:
    """Raise ObjectError where the store gives what it gave before, else StorageError."""
    known = _GIVEN.get(id(files))
    if known is None:
        raise UNREACHABLE from None
    try:
        files.cat_file(known, start=0, end=1)
    except Exception:  # every back end has errors of its own
        raise UNREACHABLE from None
    raise ObjectError(errno.EIO, "the object store answers with errors") from None


def _raise_where_final(error: Exception) -> None:
    """Raise what no further attempt would mend."""
    name, code = type(error).__name__, _code(error)
    if name == "ParamValidationError":  # of botocore: no bucket or object has such a name, and nobody was asked
        raise FileNotFoundError(errno.ENOENT, "no such object") from None
    if code in CREDENTIAL_CODES or code == "RequestTimeTooSkewed" or CREDENTIAL_ERROR.search(name):
        raise CREDENTIALS from None
    if isinstance(error, PermissionError) or _status(error) == 403:
        raise PermissionError(errno.EACCES, "the object store refuses") from None


def _code(error: Exception) -> str:
    """Return the code that S3 gave; "" where it gave none."""
    response = getattr(error.__cause__ or error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _status(error: Exception) -> int | None:
    """Return the status that a web server gave; None where it gave none."""
    status = getattr(error, "status", None)
    return status if isinstance(status, int) else None


def _file_system_of(url: str) -> Any:
    """Return what reads a URL, with the account or host that the URL names."""
    scheme = url.partition("://")[0]
    if scheme in S3:
        return _file_system("s3")
    options = _class_of(scheme)._get_kwargs_from_urls(url)
    try:
        return _file_system(scheme, tuple(sorted(options.items())))
    except OSError:  # of one that connects at once
        raise UNREACHABLE from None
    except Exception:  # every back end has errors of its own
        raise NOT_OPENED from None


@lru_cache
def _file_system(scheme: str, options: tuple[tuple[str, Any], ...] = ()) -> Any:
    files = _class_of(scheme)(**(S3_OPTIONS if scheme == "s3" else dict(options)))
    if scheme == "s3":
        files.retries = S3_ATTEMPTS
    return files
