"""The two media types of an answer: JSON, and .npz for whoever wants every number unrounded (RFC 9110 12.5.1)."""

import io
import json
import re
from collections.abc import Mapping

import numpy as np

from glam.prediction import Json

JSON, NPZ = "application/json", "application/x-npz"
QUALITY = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")
MAX_RANGES = 32


def wants_npz(accept: str | None) -> bool:
    """Say whether an Accept header prefers .npz to JSON; JSON where it likes both alike, or neither."""
    ranges = _ranges(accept or "*/*")
    return _quality(NPZ, ranges) > _quality(JSON, ranges)


def npz(arrays: Mapping[str, np.ndarray], answer: Json) -> bytes:
    """Return the bytes of an .npz of arrays, and of an answer as JSON text under the name `answer`."""
    file = io.BytesIO()
    text = np.array(json.dumps(answer, allow_nan=False).encode())  # bytes: a character takes one, not four
    np.savez(file, **dict(arrays), answer=text)  # pyright: ignore[reportArgumentType]  # numpy's stub of savez
    return file.getvalue()


def answer_in(content: bytes) -> bytes:
    """Return the JSON text that `npz` put into an .npz."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return arrays["answer"].item()


def _ranges(accept: str) -> dict[str, float]:
    """Media range -> its quality; one with a quality that does not read counts as not acceptable."""
    ranges: dict[str, float] = {}
    for part in accept.split(",")[:MAX_RANGES]:
        media, *parameters = (word.strip().lower() for word in part.split(";"))
        quality = next((word[2:].strip() for word in parameters if word.startswith("q=")), "1")
        if media:
            ranges[media] = float(quality) if QUALITY.fullmatch(quality) else 0.0
    return ranges or {"*/*": 1.0}


def _quality(media: str, ranges: Mapping[str, float]) -> float:
    """Return the quality of the most specific range that holds a media type."""
    for name in (media, f"{media.partition('/')[0]}/*", "*/*"):
        if name in ranges:
            return ranges[name]
    return 0.0
