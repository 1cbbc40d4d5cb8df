"""Bytes, file or stream -> the DICOM data set in it, unread pixels included."""

from contextlib import AbstractContextManager, nullcontext
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from glam import header
from glam.intake import InputError, input_error

if TYPE_CHECKING:
    from pydicom import Dataset

Source = bytes | Path | BinaryIO


def parse(source: Source, where: str) -> "Dataset":
    """Return the data set of a file; InputError where there is none, an OSError where a path cannot be opened."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    with _opened(source) as stream:
        try:
            _refuse_deflated(stream, where)
            return dcmread(stream)
        except InputError:
            raise
        except InvalidDicomError:
            raise input_error("not_dicom", where) from None
        except header.broken_errors():
            raise input_error("truncated", where) from None


def _refuse_deflated(stream: BinaryIO, where: str) -> None:
    """Refuse a deflated file from its file meta: pydicom would inflate it at once, a thousandfold if it is made so."""
    from pydicom.filereader import (
        _read_file_meta_info,  # pyright: ignore[reportPrivateUsage]  # dcmread asks it too: both see the same syntax
        read_preamble,
    )
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    start = stream.tell()
    read_preamble(stream, force=False)
    if _read_file_meta_info(stream).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        raise input_error("unsupported_syntax", where, syntax=DeflatedExplicitVRLittleEndian.name)
    stream.seek(start)


def _opened(source: Source) -> AbstractContextManager[BinaryIO]:
    if isinstance(source, Path):
        return source.open("rb")
    return nullcontext(BytesIO(source) if isinstance(source, bytes | bytearray | memoryview) else source)
