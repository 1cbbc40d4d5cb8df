"""Files that are whole or absent whenever the program is stopped, their hashes, and JSON without a second meaning."""

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

JsonDict = dict[str, Any]
"""A JSON object, as `json` reads and writes it."""
URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
"""The beginning of a path that is of no file system here; its scheme is the first group."""


def below(folder: Path | str, name: str) -> str:
    """Return where a name below a folder is; a URL and an absolute path are where they are. The folder may be a URL."""
    if URL.match(name):
        return name
    if isinstance(folder, str) and URL.match(folder) and not name.startswith("/"):
        return f"{folder.rstrip('/')}/{name}"
    return str(Path(folder) / name)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; if the block succeeds, flush it to the disk and put it in place."""
    part = path.with_name(f".{path.name}.{os.getpid()}{time.time_ns() % 10**9:09d}.part")  # pids repeat across machines
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def flush_folder(folder: Path) -> None:
    """Put the names of a folder's files on the disk: what was renamed or deleted there stays so after a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_object(text: str | bytes) -> JsonDict:
    """Return the object that a JSON text holds.

    ValueError: it is not JSON, no object, nested too deeply, or names a key twice, which every reader takes otherwise.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object is expected, not {type(value).__name__}")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is there twice")
    return content


def write_json(path: Path, content: JsonDict) -> None:
    """Write an object as readable JSON, whole or not at all."""
    with replacing(path) as part:
        part.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
