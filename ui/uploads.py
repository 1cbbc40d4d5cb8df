"""Files that a browser sent: read, and gone from the disk at once."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .answers import Upload
from .arrivals import MAX_WAITING_BYTES, remove_if_empty
from .store import Store

MAX_PATH_CHARS = 4096
"""No file has a longer path (Linux: PATH_MAX); to follow one of half a million folders takes minutes."""


class GoneError(Exception):
    """A file was removed before it was read; no name is in the message, which a log may hold."""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """An upload that was read: what a session holds of it. Its bytes are in the Arrived, as long as there is room."""

    token: str = field(repr=False)
    name: str = field(repr=False)
    is_picture: bool


class Arrived:
    """Bytes of uploads until they are shown, of all sessions together; the oldest go first."""

    def __init__(self, *, max_bytes: int = MAX_WAITING_BYTES) -> None:
        self._store = Store(max_bytes=max_bytes)

    def put(self, upload: Upload) -> Waiting:
        """Keep an upload."""
        return Waiting(token=self._store.put(upload.content), name=upload.name, is_picture=upload.is_picture)

    def uploads(self, waiting: Sequence[Waiting]) -> list[Upload]:
        """Return uploads; GoneError where one is no longer there."""
        kept = [self._store.get(one.token) for one in waiting]
        pairs = zip(waiting, kept, strict=True)
        found = [Upload(content=held.content, name=one.name) for one, held in pairs if held is not None]
        if len(found) < len(waiting):
            raise GoneError
        return found

    def drop(self, waiting: Sequence[Waiting]) -> None:
        """Forget uploads."""
        for one in waiting:
            self._store.drop(one.token)

    def num_bytes(self) -> int:
        """Return how many bytes are held."""
        return self._store.num_bytes()


def is_upload(path: object) -> bool:
    """Return whether something is the path of an upload: a file in a folder of the folder of uploads, links followed.

    It need not be there any more.
    """
    folder = os.environ.get("GRADIO_TEMP_DIR")
    if not folder or not isinstance(path, str) or len(path) > MAX_PATH_CHARS:
        return False
    try:
        place = Path(path).resolve()
    except (OSError, ValueError):  # too long, links in a circle, or a zero in it
        return False
    return place.parent.parent == Path(folder).resolve()


def taken(paths: Sequence[str] | None) -> list[Upload]:
    """Return the uploaded files, and remove them and their folders.

    A path that comes twice is a file that was dropped twice: Gradio names folders by content. GoneError for a file that
    is not there, as when another window sent the same one at the same time; and where one is no upload: then none is
    read or removed.
    """
    chosen = [Path(path) for path in paths or ()]
    if not all(is_upload(str(path)) for path in chosen):
        raise GoneError
    try:
        contents = {path: path.read_bytes() for path in dict.fromkeys(chosen)}
    except OSError:
        raise GoneError from None  # the system's message has the file's name in it
    finally:
        for path in chosen:
            path.unlink(missing_ok=True)
            remove_if_empty(path.parent)
    return [Upload(content=contents[path], name=path.name) for path in chosen]
