"""The checks on an input: one table of stable codes, their severity, HTTP status and sentence."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True)
class Code:
    """Severity, HTTP status and message template of a code."""

    severity: Severity
    status: int
    """HTTP status of an error; 200 for what is only reported."""
    sentence: str
    """What is wrong and the way out, with places for facts that say nothing about a patient."""


def _error(sentence: str, status: int = 422) -> Code:
    return Code("error", status, sentence)


def _warning(sentence: str) -> Code:
    return Code("warning", 200, sentence)


def _info(sentence: str) -> Code:
    return Code("info", 200, sentence)


CODES: Mapping[str, Code] = {
    # the file
    "not_dicom": _error(
        "this is not a DICOM file, nor a PNG, JPEG or TIFF: send the .dcm file itself, not an archive of it", 415
    ),
    "truncated": _error("the pixel data is cut short or damaged: send the file again"),
    "no_pixel_data": _error("the file has no image in it: send the mammogram, not its report or presentation state"),
    "unsupported_syntax": _error("no decoder here for {image}: {way_out}", 415),
    "unsupported_picture": _error(
        "pictures with {kind} are not read here: save it as a grey-scale PNG of 8 or 16 bits", 415
    ),
    "too_large": _error("the {part} is too large, over {limit}: send one 2-D mammogram as the device made it", 413),
    # the kind of image
    "encapsulated_document": _error("this is a document in a DICOM file: send the mammogram itself"),
    "tomosynthesis": _error("this is tomosynthesis: send the 2-D mammogram, or the synthetic 2-D image made from it"),
    "not_a_mammogram": _error("this is not a mammogram: GLAM reads MG For Presentation, and films with Modality MG"),
    "for_processing": _error("this is a For Processing image: send the For Presentation one that viewers show"),
    "multi_frame": _error("the file holds several frames: send one 2-D mammogram a file"),
    "not_monochrome": _error("the image is in colour: send the grey-scale mammogram"),
    "bad_value": _error("the header's {attribute} cannot be used: {reason}"),
    # view and side
    "unknown_view": _error("{problem}: GLAM takes CC and MLO; {way_out}"),
    "unknown_laterality": _error("{problem}: {way_out}"),
    "view_mismatch": _error("{contradiction}: {way_out}"),
    "side_mismatch": _error("{contradiction}: {way_out}"),
    "patient_mismatch": _error("the files name different patients: send the views of one breast"),
    "study_mismatch": _error("the files come from different studies: send the views of one exam"),
    # the request
    "missing_view": _error("there is no mammogram in the request: send a CC view, an MLO view, or both"),
    "no_usable_image": _error("none of the images can be used; {problem}"),
    "bad_images": _error("an exam has 1 to {most} images, not {count}: send those of one exam"),
    "bad_prompt": _error("the prompts cannot be used: {problem}"),
    "bad_include": _error("unknown part in include: expected any of {names}"),
    "bad_field": _error("{problem}"),
    "repeated_field": _error("{field} was sent more than once: send it once"),
    "unknown_field": _error("unknown form field: expected one of {names}"),
    # the pixels
    "no_breast": _error(
        "no breast can be seen in the image, which is empty or no mammogram: send one that shows a breast"
    ),
    # findings
    "lone_view": _info("the {absent} view is missing: the answer has no attention between the views"),
    "not_dicom_picture": _warning(
        "this picture has no DICOM header: its view and side are those that came with it, and an earlier program"
        " may have changed its grey values"
    ),
    "film": _warning("the image is a digitised film or secondary capture, not a digital mammogram"),
    "synthetic_2d": _warning(
        "this is a synthetic 2-D image from tomosynthesis: the model was trained on plain mammograms"
    ),
    "quality_control": _warning("the header calls this a quality control image: the answer does not describe a breast"),
    "other_organ": _warning("the header says that another organ than the breast was exposed"),
    "modality_differs": _warning(
        "the header's Modality is not MG, though the file is of the class of mammograms, which was followed"
    ),
    "specimen": _warning("the header says that this is a specimen: the model was trained on whole breasts"),
    "biopsy": _warning("the header says biopsy, stereotaxy, wire or clip: the model was trained on standard views"),
    "subtraction": _warning("this is a recombined or subtracted image: the model was trained on plain mammograms"),
    "contrast": _warning("the image was taken with a contrast agent: the model was trained on plain mammograms"),
    "partial_view": _warning("the image shows only a part of the breast: the answer covers that part"),
    "spot_view": _warning("this is a spot compression view: the model was trained on whole breasts"),
    "magnified": _warning("this is a magnification view: the model was trained on contact mammograms"),
    "magnification_differs": _warning(
        "the magnification factor and the distances from the source differ by more than 15 %: is the spacing right?"
    ),
    "special_view": _warning(
        "this is not a standard view ({modifiers}): the model was trained on standard CC and MLO views"
    ),
    "tissue_included": _info("the header says that the image also shows: {modifiers}"),
    "unknown_modifier": _warning("the header gives the view a modifier that is not in the table of CID 4015"),
    "implant_displaced": _info("the implant was pushed out of the image"),
    "male_breast": _warning("this is a male breast: such images are rare in the training data"),
    "view_words_differ": _warning("{words}, against {followed}, which was followed"),
    "side_words_differ": _warning("{words}, against {followed}, which was followed"),
    "view_tag_unclear": _warning("{source} does not name one known view: {followed} was followed"),
    "side_tag_unclear": _warning("{source} names neither L nor R: {followed} was followed"),
    "side_tags_differ": _warning("{followed} and {other} name different breasts: {followed} was followed"),
    "orientation_unclear": _warning(
        "PatientOrientation does not describe an upright view: the image was treated as upright"
    ),
    "odd_spacing": _warning(
        "the header's pixel spacing is outside the range of mammograms: lengths are not given in millimetres"
    ),
    "spacing_differs": _warning("the pixel spacing of the request differs from {followed}, which was followed"),
    "no_spacing": _info("the header gives no pixel spacing: lengths are not given in millimetres"),
    "no_preamble": _warning("the file has no DICOM preamble: it was read as a bare data set"),
    "syntax_differs": _warning(
        "the header names another transfer syntax than that of the pixel data, which was followed"
    ),
    "excess_padding": _info("the pixel data is longer than the image: what follows it is padding and was left out"),
    "polarity_tags_differ": _warning(
        "PhotometricInterpretation and PresentationLUTShape disagree on what is dark: the former was followed"
    ),
    "inverted_tag": _warning("the background is bright where the header says dark: the pixels were inverted"),
    "saturated": _warning("more than 5 % of the breast has the largest grey value: its contrast is lost there"),
    "no_window": _info("the header gives no usable display window: the grey values were spread over their own range"),
    "voi_passed_over": _warning("a window or VOI LUT of the header cannot be used: the next source was taken"),
    "window_too_wide": _warning("the header's window or VOI LUT leaves more than half of the grey scale unused"),
    "lut_differs": _warning(
        "a look-up table uses other bits or another byte order than it declares: it was read by what it uses"
    ),
    "bits_differ": _warning("the pixels use other bits than BitsStored and HighBit declare: those in use were read"),
    "burned_in": _warning("the header says that text is burned into the pixels"),
    "lossy": _info("the pixels have been through lossy compression"),
    "implant": _warning("the header reports a breast implant: such images are rare in the training data"),
    "mixed_pair": _warning(
        "one view is a synthetic 2-D image and the other is not: the model was trained on pairs of one kind"
    ),
    "views_differ": _info(
        "from chest wall to nipple the CC view measures {cc} mm and the MLO view {mlo} mm: over {limit} mm apart, one"
        " of them may be badly positioned"
    ),
    "views_disagree": _warning(
        "the model calls the density {cc} in the CC view and {mlo} in the MLO view, two classes or more apart"
    ),
    "sides_disagree": _warning(
        "the model calls the density {left} in the left breast and {right} in the right one, two classes or more apart"
    ),
    "lone_breast": _info("there is no image of the {absent} breast that can be used"),
    "same_view_twice": _warning("{count} of the files show the {view} view: number {number} of them was taken"),
    "patient_differs": _warning("the CC and the MLO file name different patients"),
    "study_differs": _warning("the CC and the MLO file come from different studies"),
    "side_conflict": _warning("the breast lies against the other edge than the header says: the pixels were followed"),
    "side_unclear": _info("the pixels do not show at which edge the chest wall lies: the header was followed"),
    "strips_removed": _info("bright strips along the border of the image were left out"),
    "upside_down": _warning("the pectoral muscle lies at the lower border: the image was turned over"),
    "axis_from_nipple": _info(
        "no pectoral muscle was seen: the axis, {angle} degrees, was taken from the skin around the nipple"
    ),
    "no_pectoral_line": _warning(
        "neither pectoral muscle nor nipple was seen: the angle {angle} degrees, usual for MLO views, was taken"
    ),
    "no_nipple": _info("no nipple is seen in profile: the axis ends at the foremost point of the skin"),
    "clipped": _warning("the breast extends beyond the image: the answer covers the part that is shown"),
    "second_body": _warning(
        "the image shows a second bright body about as large as a breast: the larger one was taken"
    ),
    "unusual_hanging": _warning(
        "by PatientOrientation and side the image is mirrored or upside down, and was treated so: is the side right?"
    ),
    "odd_size": _warning(
        "the chest-nipple length is {length} mm by the pixel spacing: is the spacing right, and is this a breast?"
    ),
    "length_as_scale": _info("without a pixel spacing the chest-nipple length was taken as {length} mm"),
    "outside_square": _info("{percent} % of the breast lie outside the model's square"),
    "embedding_withheld": _warning(
        "the model's licence keeps embeddings on the machine (may_share is false): {way_out}"
    ),
}


@dataclass(frozen=True)
class Finding:
    """Something about an input that its reader should know."""

    code: str
    severity: Literal["info", "warning"]
    message: str

    def as_json(self) -> dict[str, str]:
        """Return JSON types."""
        return {"code": self.code, "severity": self.severity, "message": self.message}


class InputError(ValueError):
    """What a caller gave cannot be used; `code` is a key of CODES, `where` names the part of the request."""

    def __init__(self, code: str, message: str, where: str = "") -> None:
        super().__init__(code, message, where)
        self.code = code
        self.message = message
        self.where = where

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message

    @property
    def status(self) -> int:
        """HTTP status of the answer: 4xx for a fault of the request."""
        return CODES[self.code].status

    def at(self, where: str) -> "InputError":
        """Return the error with the part of the request it is about; one that names a part keeps it."""
        return InputError(self.code, self.message, self.where or where)


class HeaderError(InputError):
    """An attribute of a header that cannot be used (code `bad_value`): which one, and the rule it breaks."""

    def __init__(self, attribute: str, reason: str) -> None:
        super().__init__("bad_value", CODES["bad_value"].sentence.format(attribute=attribute, reason=reason))
        self.attribute = attribute
        self.reason = reason


def input_error(code: str, where: str = "", **facts: object) -> InputError:
    """Return the error of a code, its sentence filled with facts."""
    return InputError(code, CODES[code].sentence.format(**facts), where)


def finding(code: str, **facts: object) -> Finding:
    """Return the finding of a code, its sentence filled with facts."""
    severity = CODES[code].severity
    assert severity != "error", f"{code} is an error"
    return Finding(code, severity, CODES[code].sentence.format(**facts))
