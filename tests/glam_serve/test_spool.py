"""Files of forms: small ones in memory, large ones on the disk, every byte of both."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartParser

from glam_serve.spool import IN_MEMORY_BYTES, Parser
from tests.samples.forms import Form, form


def parsed(sent: Form, piece: int) -> FormData:
    """A form that arrives in pieces of a size."""

    async def body() -> AsyncIterator[bytes]:
        for start in range(0, len(sent.body), piece):
            yield sent.body[start : start + piece]

    parser = Parser(Headers({"content-type": sent.content_type}), cast(Any, body()))
    return asyncio.run(parser.parse())


def is_on_disk(upload: UploadFile) -> bool:
    return cast(Any, upload.file)._rolled


@pytest.mark.parametrize("piece", [64 << 10, 300_000, 8 << 20])
@pytest.mark.parametrize("size", [0, 1, IN_MEMORY_BYTES, IN_MEMORY_BYTES + 1, 3 * IN_MEMORY_BYTES + 17])
def test_a_file_is_read_from_its_beginning_and_is_on_the_disk_where_it_is_large(size: int, piece: int):
    contents = {"cc": bytes(range(256)) * (size // 256) + bytes(size % 256), "mlo": b"short"}
    parts = parsed(form(contents, {"prompts": "a mass"}), piece)
    for name, content in contents.items():
        upload = parts[name]
        assert isinstance(upload, UploadFile)
        assert upload.file.read() == content
        assert upload.size == len(content)
        assert is_on_disk(upload) == (len(content) > IN_MEMORY_BYTES)
        upload.file.close()
    assert parts["prompts"] == "a mass"


def test_large_files_are_on_the_disk_though_litserve_asks_for_all_of_them_in_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(MultiPartParser, "spool_max_size", sys.maxsize)
    upload = parsed(form({"cc": bytes(IN_MEMORY_BYTES + 1)}), 1 << 16)["cc"]
    assert isinstance(upload, UploadFile)
    assert is_on_disk(upload)
    upload.file.close()


def test_a_file_is_written_in_large_pieces(monkeypatch: pytest.MonkeyPatch):
    writes: list[int] = []
    write_lines = tempfile.SpooledTemporaryFile.writelines

    def noted(self: Any, pieces: list[bytes]) -> None:
        writes.append(sum(map(len, pieces)))
        write_lines(self, pieces)

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "writelines", noted)
    upload = parsed(form({"cc": bytes(5 * IN_MEMORY_BYTES)}), 1 << 16)["cc"]
    assert isinstance(upload, UploadFile)
    assert sum(writes) == 5 * IN_MEMORY_BYTES
    assert min(writes[:-1]) >= IN_MEMORY_BYTES
    assert len(writes) <= 6
    upload.file.close()
