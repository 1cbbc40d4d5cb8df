"""Files that a browser sent: read, and gone from the disk at once."""

import os
from collections.abc import Sequence
from pathlib import Path

from .answers import Upload


class GoneError(Exception):
    """A file was removed before it was read; no name is in the message, which a log may hold."""


def is_upload(path: object) -> bool:
    """Return whether something is the path of an upload: a file in a folder of the folder of uploads, links followed.

    It need not be there any more.
    """
    folder = os.environ.get("GRADIO_TEMP_DIR")
    if not folder or not isinstance(path, str):
        return False
    try:
        place = Path(path).resolve()
    except (OSError, ValueError):  # too long, links in a circle, or a zero in it
        return False
    return place.parent.parent == Path(folder).resolve()


def taken(paths: Sequence[str] | None) -> list[Upload]:
    """Return the uploaded files, and remove them, their folders, and what Gradio left empty beside them.

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
            _remove_if_empty(path.parent)
        _remove_empty_files()
    return [Upload(content=contents[path], name=path.name) for path in chosen]


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return  # gone already, or another upload of the same content is in it


def _remove_empty_files() -> None:
    """Remove the files of no bytes that Gradio makes for each upload and forgets."""
    folder = os.environ.get("GRADIO_TEMP_DIR")
    for path in Path(folder).iterdir() if folder and Path(folder).is_dir() else ():
        if path.is_file() and not path.stat().st_size:
            path.unlink(missing_ok=True)
