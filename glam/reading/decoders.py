"""The decoder of each transfer syntax, and the call of it.

imagecodecs is called directly: it gives arrays without copies and leaves other threads alone (docs/adr/0005-codecs.md).
The other decoders are used only where imagecodecs is not installed, never for a stream that it refused: not every
decoder survives a damaged file.
"""

from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom import uid

from glam.findings import InputError, input_error
from glam.reading.codestream import Bytes, Codestream, check_run_lengths, run_lengths

if TYPE_CHECKING:
    from glam.reading.pixels import Layout


class Codec(NamedTuple):
    """Decoders of a transfer syntax, the first that is installed to be used."""

    imagecodecs: str
    """Name of the codec there."""
    plugins: tuple[str, ...]
    """pydicom's names of the others. pylibjpeg stands for its OpenJPEG only: its libjpeg is GPL."""


_JPEG2000 = Codec("jpeg2k", ("pylibjpeg", "pillow", "gdcm"))
_HTJ2K = Codec("jpeg2k", ("pylibjpeg",))  # its OpenJPH, three times as fast, shows damage as grey and says nothing
_JPEG = Codec("jpeg8", ("gdcm", "pillow"))
_LOSSLESS = Codec("jpeg8", ("gdcm",))
_JPEG_LS = Codec("jpegls", ("pyjpegls", "gdcm"))

CODECS: Mapping[str, Codec] = {
    uid.RLELossless: Codec("dicomrle", ("pydicom",)),
    uid.JPEGBaseline8Bit: _JPEG,
    uid.JPEGExtended12Bit: Codec("jpeg8", ()),  # the others read it with 8 bits only
    uid.JPEGLossless: _LOSSLESS,
    uid.JPEGLosslessSV1: _LOSSLESS,
    uid.JPEGLSLossless: _JPEG_LS,
    uid.JPEGLSNearLossless: _JPEG_LS,
    uid.JPEG2000Lossless: _JPEG2000,
    uid.JPEG2000: _JPEG2000,
    uid.HTJ2KLossless: _HTJ2K,
    uid.HTJ2KLosslessRPCL: _HTJ2K,
    uid.HTJ2K: _HTJ2K,
}
ENCAPSULATED_NATIVE = "1.2.840.10008.1.2.1.98"
"""Uncompressed values in fragments. PS3.5 A.4.11."""
NATIVE = (
    ENCAPSULATED_NATIVE,
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)


def decoder_of(syntax: str) -> str | None:
    """Return the name of what decodes a transfer syntax here: "native", "imagecodecs CODEC", or pydicom's plugin."""
    if syntax in NATIVE:
        return "native"
    codec = CODECS.get(syntax)
    if codec is None:
        return None
    if find_spec("imagecodecs"):
        return f"imagecodecs {codec.imagecodecs}"
    from pydicom.pixels.decoders.base import get_decoder

    installed = get_decoder(syntax).available_plugins
    return next((name for name in codec.plugins if name in installed), None)


def unsupported_syntax(syntax: str) -> InputError:
    """Return the error of a transfer syntax without a decoder here; a syntax that is in no table is not repeated."""
    name = uid.UID(syntax).name
    image = "the transfer syntax that the file names" if name == syntax else f"the transfer syntax {name}"
    way_out = (
        'pip install "glam-mammo[codecs]", or send it uncompressed' if syntax in CODECS else "send it uncompressed"
    )
    return input_error("unsupported_syntax", image=image, way_out=way_out)


def unsupported_jpeg() -> InputError:
    """Return the error of a JPEG codestream whose compression no transfer syntax with a decoder here has."""
    return input_error("unsupported_syntax", image="progressive or arithmetic JPEG", way_out="send it uncompressed")


def late_height() -> InputError:
    """Return the error of a JPEG codestream whose header has 0 rows, which libjpeg does not read. ISO 10918-1 B.2.5."""
    image = "JPEG with its height behind its values (DNL)"
    return input_error("unsupported_syntax", image=image, way_out="send it uncompressed")


def decode_frame(frame: Codestream | Bytes, layout: "Layout", syntax: str, decoder: str) -> NDArray[Any]:
    """Return the samples of a compressed frame, flat, each in 8 or 16 bits; ValueError where it is damaged or cut.

    A frame of run lengths comes as its bytes; `layout` is the header's.
    """
    decode = partial(_decoded, layout=layout, syntax=syntax, decoder=decoder)
    for attempt in frame.attempts if isinstance(frame, Codestream) else run_lengths(bytes(frame)):
        samples = _tried(decode, attempt.stream)
        if samples is None or (attempt.refused is not None and _tried(decode, attempt.refused) is not None):
            continue
        repeated = samples if attempt.same is None else _tried(decode, attempt.same)
        if repeated is not None and np.array_equal(samples, repeated) and not _has_left_range(samples, frame, layout):
            return samples
    raise ValueError("the codestream is damaged, or ends before its image does")


def _has_left_range(samples: NDArray[Any], frame: Codestream | Bytes, layout: "Layout") -> bool:
    """Return whether differences of lossless JPEG have led out of the values of its precision, below zero or above.

    Some of them are lost then, or not in their order: every value of a stream has its precision. ISO 10918-1 H.1.2.1.
    """
    if not isinstance(frame, Codestream) or frame.syntax != uid.JPEGLosslessSV1 or layout.signed:
        return False
    return samples.itemsize == 2 and int(samples.view(np.uint16).max()) >= 2**frame.bits


def _tried(decode: Callable[[Bytes], NDArray[Any]], stream: Bytes) -> NDArray[Any] | None:
    try:
        return decode(stream)
    except ValueError:
        return None


def _decoded(stream: Bytes, *, layout: "Layout", syntax: str, decoder: str) -> NDArray[Any]:
    library, _, codec = decoder.partition(" ")
    if library != "imagecodecs":
        return _with_pydicom(stream, layout, syntax, decoder)
    if codec == "dicomrle":
        return _run_lengths(stream, np.empty(layout.rows * layout.cols, f"<u{layout.allocated // 8}"))
    import imagecodecs

    return _checked(getattr(imagecodecs, f"{codec}_decode"), stream).ravel()


def _run_lengths(stream: Bytes, samples: NDArray[Any]) -> NDArray[Any]:
    """Fill the samples, no more of them than there are: a run of two bytes stands for up to 128."""
    from imagecodecs import dicomrle_decode

    check_run_lengths(stream, segments=samples.itemsize)
    filled = _checked(dicomrle_decode, stream, dtype=samples.dtype, out=samples.view(np.uint8).data)
    if len(filled) != samples.nbytes:
        raise ValueError("a segment is cut short")
    return samples


def _checked(decode: Callable[..., Any], stream: Bytes, **options: object) -> Any:
    """Return what imagecodecs makes of a codestream; its errors, all RuntimeErrors, become a ValueError."""
    try:
        return decode(stream, **options)
    except (RuntimeError, MemoryError) as error:
        raise ValueError(str(error)) from None


def _with_pydicom(stream: Bytes, layout: "Layout", syntax: str, plugin: str) -> NDArray[Any]:
    from pydicom.encaps import encapsulate
    from pydicom.pixels.decoders.base import get_decoder

    header: dict[str, Any] = {"rows": layout.rows, "columns": layout.cols, "bits_allocated": layout.allocated}
    header |= {"bits_stored": layout.bits, "pixel_representation": int(layout.signed), "samples_per_pixel": 1}
    header |= {"number_of_frames": 1, "photometric_interpretation": "MONOCHROME2", "pixel_keyword": "PixelData"}
    try:
        buffer, _ = get_decoder(syntax).as_buffer(encapsulate([bytes(stream)]), decoding_plugin=plugin, **header)
    except RuntimeError as error:
        raise ValueError(str(error)) from None
    itemsize = len(buffer) // (layout.rows * layout.cols)
    return np.frombuffer(buffer, f"<u{itemsize}" if itemsize in (1, 2) else "<u2")
