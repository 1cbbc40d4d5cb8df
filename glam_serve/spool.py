"""Files of forms on their way to the disk, written by threads in large pieces."""

from tempfile import SpooledTemporaryFile
from typing import cast

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartParser

IN_MEMORY_BYTES = 1 << 20
"""Largest file that is not put on the disk; and the bytes of a larger one that are written together."""


class SpooledUpload(UploadFile):
    """A file that gathers what comes: to hand each piece of the network's to a thread costs more than to write it."""

    def __init__(self, upload: UploadFile) -> None:
        super().__init__(upload.file, size=0, filename=upload.filename, headers=upload.headers)
        self._pieces: list[bytes] = []
        self._num_gathered = 0

    async def write(self, data: bytes) -> None:
        """Take the next piece."""
        assert self.size is not None
        self.size += len(data)
        self._pieces.append(data)
        self._num_gathered += len(data)
        if self.size > IN_MEMORY_BYTES and self._num_gathered >= IN_MEMORY_BYTES:
            await run_in_threadpool(self._put_on_disk)

    async def seek(self, offset: int) -> None:
        """Go to a place of what has come; the parser does so at the end of a file."""
        assert self.size is not None
        if self.size > IN_MEMORY_BYTES:
            await run_in_threadpool(self._put_on_disk, offset)
        else:
            self._write_pieces()
            self.file.seek(offset)

    def _put_on_disk(self, offset: int | None = None) -> None:
        cast("SpooledTemporaryFile[bytes]", self.file).rollover()  # once; it does nothing more after that
        self._write_pieces()
        if offset is not None:
            self.file.seek(offset)

    def _write_pieces(self) -> None:
        self.file.writelines(self._pieces)
        self._pieces, self._num_gathered = [], 0


class Parser(MultiPartParser):
    """Starlette's parser of forms; of a file so many bytes are in memory, whatever LitServe asks of MultiPartParser."""

    spool_max_size = IN_MEMORY_BYTES

    def on_headers_finished(self) -> None:
        """Begin a part."""
        super().on_headers_finished()
        if self._current_part.file is not None:
            self._current_part.file = SpooledUpload(self._current_part.file)
