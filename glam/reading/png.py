"""PNG: the checksums of its chunks, which Pillow does not verify for the pixels. PNG, third edition, 5.3."""

import zlib

from glam.findings import input_error

SIGNATURE_BYTES = 8
LENGTH_BYTES, KIND_BYTES, CHECKSUM_BYTES = 4, 4, 4
END = b"IEND"
MAX_CHUNKS = 100_000
"""Of the largest file in pieces of 1,600 bytes; writers use far longer ones."""


def check_chunks(data: bytes) -> None:
    """Refuse a PNG as `truncated` unless the checksum of every chunk is right, up to the chunk that ends the file."""
    view, place, kind, num_chunks = memoryview(data), SIGNATURE_BYTES, b"", 0
    while kind != END:
        num_chunks += 1
        start = place + LENGTH_BYTES  # of what the checksum is about
        end = start + KIND_BYTES + int.from_bytes(view[place:start], "big")
        kind, place = bytes(view[start : start + KIND_BYTES]), end + CHECKSUM_BYTES
        if (
            num_chunks > MAX_CHUNKS
            or place > len(view)
            or zlib.crc32(view[start:end]) != int.from_bytes(view[end:place], "big")
        ):
            raise input_error("truncated")
