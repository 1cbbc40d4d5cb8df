"""Small valid mammograms as DICOM, in every transfer syntax that is read."""

from collections.abc import Callable, Mapping
from functools import cache
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, FileMetaDataset, uid
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import get_encoder
from pydicom.tag import BaseTag

SECRET = "SECRET"
"""Stands where a patient's values stand; no error may quote it."""
HEADER: Mapping[str, Any] = {
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.2",
    "SOPInstanceUID": "1.2.3",
    "StudyInstanceUID": "1.2.4",
    "PatientID": SECRET,
    "PatientName": SECRET,
    "Modality": "MG",
    "PresentationIntentType": "FOR PRESENTATION",
    "ImageLaterality": "L",
    "ViewPosition": "CC",
    "ImagerPixelSpacing": ["0.1", "0.2"],
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "BitsAllocated": 16,
    "BitsStored": 12,
    "HighBit": 11,
    "PixelRepresentation": 0,
    "WindowCenter": "2048",
    "WindowWidth": "4096",
}

Encode = Callable[[NDArray[Any], int], bytes]
"""Bit patterns and the bits of a value -> codestream."""


def _rle(pixels: NDArray[Any], bits: int) -> bytes:
    rows, cols = pixels.shape
    options: dict[str, Any] = {"rows": rows, "columns": cols, "bits_stored": bits, "pixel_representation": 0}
    options |= {"samples_per_pixel": 1, "number_of_frames": 1, "photometric_interpretation": "MONOCHROME2"}
    allocated = 8 * pixels.dtype.itemsize
    return get_encoder(uid.RLELossless).encode(pixels, bits_allocated=allocated, **options)


def _jpeg(pixels: NDArray[Any], bits: int) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(pixels, level=95, bitspersample=bits))


def _lossless(predictor: int) -> Encode:
    return lambda pixels, bits: bytes(
        imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=predictor, bitspersample=bits)
    )


def _jpeg_ls(pixels: NDArray[Any], _: int) -> bytes:
    return bytes(imagecodecs.jpegls_encode(pixels))


def _jpeg2000(pixels: NDArray[Any], bits: int) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="J2K", reversible=True, bitspersample=bits))


def _htj2k(pixels: NDArray[Any], _: int) -> bytes:
    return bytes(imagecodecs.htj2k_encode(pixels, reversible=True))


ENCODERS: Mapping[str, Encode] = {
    uid.RLELossless: _rle,
    uid.JPEGBaseline8Bit: _jpeg,
    uid.JPEGExtended12Bit: _jpeg,
    uid.JPEGLossless: _lossless(4),
    uid.JPEGLosslessSV1: _lossless(1),
    uid.JPEGLSLossless: _jpeg_ls,
    uid.JPEGLSNearLossless: _jpeg_ls,
    uid.JPEG2000Lossless: _jpeg2000,
    uid.JPEG2000: _jpeg2000,
    uid.HTJ2KLossless: _htj2k,
    uid.HTJ2KLosslessRPCL: _htj2k,
    uid.HTJ2K: _htj2k,
}
NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)
SYNTAXES = (*NATIVE, *ENCODERS)
EIGHT_BIT: Mapping[str, Any] = {
    "BitsAllocated": 8,
    "BitsStored": 8,
    "HighBit": 7,
    "WindowCenter": "128",
    "WindowWidth": "256",
}


def breast_values(rows: int = 64, cols: int = 48, *, peak: int = 4095) -> NDArray[np.uint16]:
    """Half an ellipse against the left edge, brighter toward its middle, on 0."""
    y, x = np.mgrid[:rows, :cols]
    inside = 1 - (x / (0.7 * cols)) ** 2 - ((y + 0.5 - rows / 2) / (0.4 * rows)) ** 2
    return np.where(inside > 0, np.rint(peak * (0.3 + 0.7 * np.clip(inside, 0, 1))), 0).astype(np.uint16)


def mammogram(pixels: NDArray[Any] | None = None, syntax: str = uid.ExplicitVRLittleEndian, **changes: Any) -> Dataset:
    """A small MG image with a window; `changes` set attributes, None deletes them. JPEG baseline has 8 bits."""
    if pixels is None:
        pixels = breast_values()
    header = {**HEADER, "Rows": pixels.shape[0], "Columns": pixels.shape[1]}
    if pixels.dtype.itemsize == 1:
        header |= EIGHT_BIT
    dataset = Dataset()
    data = _pixel_data(pixels, syntax, int(changes.get("BitsStored") or header["BitsStored"]))
    for keyword, value in (header | {"PixelData": data} | changes).items():
        if value is not None:
            setattr(dataset, keyword, value)
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OB" if syntax in ENCODERS else "OW"
        dataset["PixelData"].is_undefined_length = syntax in ENCODERS
    return dataset


def item(**attributes: Any) -> Dataset:
    """An item of a sequence."""
    content = Dataset()
    for keyword, value in attributes.items():
        setattr(content, keyword, value)
    return content


def code_item(value: str, scheme: str = "SCT", meaning: str = SECRET) -> Dataset:
    """A coded concept, of SNOMED CT unless another scheme is named."""
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def raw_element(keyword: str, value: bytes, vr: str | None = None) -> RawDataElement:
    """An attribute of bytes that pydicom would not write, padded; with the VR of the dictionary unless one is given."""
    tag = tag_for_keyword(keyword)
    assert tag is not None
    padded = value + b" " * (len(value) % 2)
    return RawDataElement(BaseTag(tag), vr or dictionary_VR(tag), len(padded), padded, 0, False, True)


def _pixel_data(pixels: NDArray[Any], syntax: str, bits: int) -> bytes:
    if syntax in ENCODERS:
        return encapsulate([ENCODERS[syntax](pixels, bits)])
    order = ">" if syntax == uid.ExplicitVRBigEndian else "<"
    if order == ">" and pixels.dtype.itemsize == 1:  # 8-bit values lie in words, PS3.5 A.3
        return pixels.tobytes() if pixels.size % 2 else pixels.ravel().view("<u2").byteswap().tobytes()
    return pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()


@cache
def picture_files() -> tuple[bytes, ...]:
    """PNG, JPEG and TIFF, of 8 and where there are such of 16 bits, with and without compression."""
    wide, narrow = (Image.fromarray(values) for values in (breast_values(), (breast_values() >> 4).astype(np.uint8)))
    kinds: tuple[tuple[Image.Image, dict[str, str]], ...] = (
        (wide, {"format": "PNG"}),
        (narrow, {"format": "PNG"}),
        (narrow.convert("P"), {"format": "PNG"}),
        (narrow, {"format": "JPEG"}),
        (wide, {"format": "TIFF"}),
        (narrow, {"format": "TIFF", "compression": "tiff_lzw"}),
        (wide, {"format": "TIFF", "compression": "tiff_deflate"}),
    )
    return tuple(_saved(picture, options) for picture, options in kinds)


def _saved(picture: Image.Image, options: dict[str, str]) -> bytes:
    stream = BytesIO()
    picture.save(stream, **options)
    return stream.getvalue()


def encoded(dataset: Dataset, syntax: str = uid.ExplicitVRLittleEndian) -> bytes:
    """The bytes of a file."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = syntax
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def file_of(pixels: NDArray[Any] | None = None, syntax: str = uid.ExplicitVRLittleEndian, **changes: Any) -> bytes:
    """The bytes of `mammogram` in a transfer syntax."""
    return encoded(mammogram(pixels, syntax, **changes), syntax)


def noisy_values(syntax: str) -> np.ndarray:
    """A breast with noise in and around it, as a transfer syntax stores it: none of its last bytes can be guessed."""
    values = breast_values().astype(int) + np.random.default_rng(0).integers(0, 60, (64, 48))
    pixels = np.clip(values, 0, 4095).astype(np.uint16)
    return (pixels >> 4).astype(np.uint8) if syntax == uid.JPEGBaseline8Bit else pixels
