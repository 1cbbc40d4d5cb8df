"""Bytes, file or stream -> the DICOM data set in it, its pixel data still as it was written."""

import zlib
from contextlib import AbstractContextManager, nullcontext
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from glam import header
from glam.intake import InputError, input_error

if TYPE_CHECKING:
    from pydicom import Dataset, FileMetaDataset

Source = bytes | str | Path | BinaryIO
"""The content of a file, its path, or an open stream."""

MAX_BYTES = 160_000_000
"""Largest file that is read, inflated if it is deflated: the largest image uncompressed, and a long header."""
FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")
"""What a data set begins with where the preamble is missing: file meta, or identification."""


def parse(source: Source) -> "Dataset":
    """Return the data set of a file; InputError where there is none, an OSError where a path cannot be opened."""
    from pydicom.errors import InvalidDicomError

    with opened(source) as stream:
        try:
            return _dataset(stream)
        except InputError:
            raise
        except InvalidDicomError:
            raise input_error("not_dicom") from None
        except (zlib.error, *header.broken_errors()):
            raise input_error("truncated") from None


def has_preamble(dataset: "Dataset") -> bool:
    """Return whether a parsed file began as PS3.10 says, with a preamble and the letters DICM."""
    return getattr(dataset, "preamble", None) is not None


def _dataset(stream: BinaryIO) -> "Dataset":
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError
    from pydicom.filereader import (
        _read_file_meta_info,  # pyright: ignore[reportPrivateUsage]  # dcmread asks it too: both see the same syntax
        read_preamble,
    )
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    start = stream.tell()
    if stream.seek(0, SEEK_END) - start > MAX_BYTES:
        raise _too_large()
    stream.seek(start)
    beginning = stream.read(132)
    stream.seek(start)
    is_bare = beginning[128:] != b"DICM"
    if is_bare and not _begins_a_dataset(beginning):
        raise InvalidDicomError
    preamble = None if is_bare else read_preamble(stream, force=False)
    meta = _read_file_meta_info(stream)
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        return _inflated(stream, meta, preamble)
    stream.seek(start)
    return dcmread(stream, force=is_bare)


def _begins_a_dataset(beginning: bytes) -> bool:
    """Return whether bytes begin as a first element does: its group, then letters of a VR or a short length."""
    letters, length = beginning[4:6], int.from_bytes(beginning[4:8], "little")
    if beginning[:2] == b"\0\x08":  # big endian is always explicit
        return letters.isalpha() and letters.isupper()
    is_short = len(beginning) >= 8 and length < 2**16
    return beginning[:2] in FIRST_GROUPS and (is_short or (letters.isalpha() and letters.isupper()))


def _inflated(stream: BinaryIO, meta: "FileMetaDataset", preamble: bytes | None) -> "Dataset":
    """Return the data set of a deflated file, of which no more than the limit is inflated. PS3.5 A.5."""
    from pydicom import FileDataset
    from pydicom.filereader import read_dataset

    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    data = inflate.decompress(stream.read(), MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise _too_large()
    if not inflate.eof:
        raise ValueError("the deflated data set is cut short")
    content = BytesIO(data)
    dataset = read_dataset(content, is_implicit_VR=False, is_little_endian=True)
    return FileDataset(content, dataset, preamble, meta, is_implicit_VR=False, is_little_endian=True)


def _too_large() -> InputError:
    megabytes = f"{MAX_BYTES // 1_000_000} MB"
    return input_error("too_large", size=f"more than {megabytes}", limit=megabytes)


def opened(source: Source) -> AbstractContextManager[BinaryIO]:
    """Return a stream over a source; one that was given is left open."""
    if isinstance(source, str | Path):
        return Path(source).open("rb")
    return nullcontext(BytesIO(source) if isinstance(source, bytes | bytearray | memoryview) else source)
