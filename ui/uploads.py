"""Files that a browser sent: read, and gone from the disk at once."""

import os
from collections.abc import Sequence
from pathlib import Path

from .answers import Upload


def taken(paths: Sequence[str] | None) -> list[Upload]:
    """Return the uploaded files, and remove them, their folders, and what Gradio left empty beside them."""
    uploads = list[Upload]()
    for path in map(Path, paths or ()):
        try:
            uploads.append(Upload(content=path.read_bytes(), name=path.name))
        finally:
            path.unlink(missing_ok=True)
            _remove_if_empty(path.parent)
    _remove_empty_files()
    return uploads


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return  # another upload of the same content is in it


def _remove_empty_files() -> None:
    """Remove the files of no bytes that Gradio makes for each upload and forgets."""
    folder = os.environ.get("GRADIO_TEMP_DIR")
    for path in Path(folder).iterdir() if folder and Path(folder).is_dir() else ():
        if path.is_file() and not path.stat().st_size:
            path.unlink(missing_ok=True)
