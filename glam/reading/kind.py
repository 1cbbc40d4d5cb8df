"""The kind of image that a header describes: refusals, and findings about kinds that are rare in the training data."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glam.findings import Finding, finding, input_error
from glam.reading import kind_words
from glam.reading.coded import meanings, term_names
from glam.reading.codes import MODIFIER_TERMS, UNKNOWN, VIEW_TERMS
from glam.reading.header import items, number, orientation_unclear, text
from glam.reading.identity import DESCRIPTIONS, SPECIMEN
from glam.reading.spacing import MAGNIFIED, magnification_of
from glam.reading.view_text import is_mentioned, view_text_of

if TYPE_CHECKING:
    from pydicom import Dataset

Predicate = Callable[["Dataset"], bool]

STORAGE = "1.2.840.10008.5.1.4.1.1."
"""Beginning of the UIDs of all storage classes. PS3.4 B.5."""
MG_FOR_PRESENTATION = f"{STORAGE}1.2"
MG_FOR_PROCESSING = f"{STORAGE}1.2.1"
DX_FOR_PROCESSING = f"{STORAGE}1.1.1"
TOMOSYNTHESIS = f"{STORAGE}13.1.3"
"""SOP class of a volume of slices, or of a 2-D image computed from them."""
PROJECTIONS = (f"{STORAGE}13.1.4", f"{STORAGE}13.1.5")
"""SOP classes of the projections that a volume is computed from."""
CT = f"{STORAGE}2"
SECONDARY_CAPTURE = f"{STORAGE}7"
DOCUMENTS = f"{STORAGE}104."
NO_IMAGES = (f"{STORAGE}11.", f"{STORAGE}88.")
"""Beginnings of SOP classes without an image: presentation states; structured reports, key objects, CAD results."""
HOLOGIC_VOLUME = (0x7E01, 0x0010)
"""Creator of the private group in which older Hologic systems hide a tomosynthesis volume."""
FILM_MODALITIES = ("MG", "CR", "RG")
SYNTHETIC_PLACES = ("SeriesDescription", "ManufacturerModelName", "ProcessingFunction")
MODIFIER_FINDINGS: Mapping[str, str] = {
    "spot compression": "spot_view",
    "magnification": "magnified",
    "implant displaced": "implant_displaced",
    "infra-mammary fold": "tissue_included",
    "axillary tissue": "tissue_included",
    UNKNOWN: "unknown_modifier",
}
"""Modifier -> code of its finding; any other one, except a nipple in profile, is a `special_view`."""
USUAL_MODIFIERS = frozenset({"nipple in profile", "infra-mammary fold", "axillary tissue", "implant displaced"})
"""Modifiers of an ordinary screening view."""


@dataclass(frozen=True, kw_only=True)
class ImageKind:
    """What the header says of an image as a whole."""

    is_mg: bool
    """False: film or secondary capture."""
    synthetic: bool
    """A 2-D image made from tomosynthesis."""
    partial: bool
    """The breast did not fit into one image."""
    modifiers: tuple[str, ...]
    """How the view departs from the plain one, by the names of MODIFIER_TERMS."""


def kind_of(dataset: "Dataset") -> ImageKind:
    """Return the kind of an image that the model can be asked about; an InputError refuses every other one."""
    for code, holds in REFUSALS.items():
        if holds(dataset):
            raise input_error(code)
    return ImageKind(
        is_mg=_is_digital(dataset),
        synthetic=_is_synthetic(dataset),
        partial=_says("PartialView", "YES")(dataset),
        modifiers=_modifiers(dataset),
    )


def kind_findings(dataset: "Dataset", kind: ImageKind) -> Iterator[Finding]:
    """Yield the findings of REMARKS that hold, then one finding for each code of MODIFIER_FINDINGS."""
    yield from (finding(code) for code, holds in REMARKS.items() if holds(dataset))
    named: dict[str, list[str]] = {}
    for name in kind.modifiers:
        if name != "nipple in profile":
            named.setdefault(MODIFIER_FINDINGS.get(name, "special_view"), []).append(name)
    yield from (finding(code, modifiers=", ".join(names)) for code, names in named.items())


def _modifiers(dataset: "Dataset") -> tuple[str, ...]:
    """Return the modifiers of the view: in its item or, with some vendors, beside it (PS3.3 C.8.11.7), and in words."""
    holders = (*items(dataset, "ViewCodeSequence"), dataset)
    names = [name for holder in holders for name in term_names(holder, "ViewModifierCodeSequence", MODIFIER_TERMS)]
    said = [text(dataset, keyword) for keyword in (*DESCRIPTIONS, "ViewPosition")]
    for words in (*said, *meanings(dataset, "ViewCodeSequence", VIEW_TERMS)):
        names += view_text_of(words).modifiers
    magnification = magnification_of(dataset)
    if max((magnification.factor, *magnification.contradicting)) >= MAGNIFIED:
        names.append("magnification")
    return tuple(dict.fromkeys(names))


def _image_type(dataset: "Dataset") -> tuple[str, ...]:
    return tuple(value.strip() for value in text(dataset, "ImageType").upper().split("\\"))


def _says(keyword: str, *values: str) -> Predicate:
    """Return a test for an attribute with one of some values."""
    return lambda dataset: any(value.strip() in values for value in text(dataset, keyword).upper().split("\\"))


def _mentions(pattern: str) -> Predicate:
    """Return a test for words, which nothing denies, in the descriptions or in ImageType."""
    keywords = (*DESCRIPTIONS, "ImageType")
    return lambda dataset: any(is_mentioned(pattern, text(dataset, keyword)) for keyword in keywords)


def _is_generated(dataset: "Dataset") -> bool:
    """Return whether ImageType calls this a 2-D image made from tomosynthesis."""
    return any(kind_words.GENERATED_2D.fullmatch(value) for value in _image_type(dataset))


def _is_derived_from_slices(dataset: "Dataset") -> bool:
    """Return whether ImageType has TOMOSYNTHESIS where a 2-D image has it; a single slice has NONE behind it."""
    types = _image_type(dataset)
    return types[0] == "DERIVED" and types[2:3] == ("TOMOSYNTHESIS",) and types[3:4] != ("NONE",)


def _is_synthetic(dataset: "Dataset") -> bool:
    is_named_so = any(is_mentioned(kind_words.SYNTHETIC_NAMES, text(dataset, name)) for name in SYNTHETIC_PLACES)
    sources = {text(item, "ReferencedSOPClassUID") for item in items(dataset, "SourceImageSequence")}
    is_made_of_slices = not sources.isdisjoint((TOMOSYNTHESIS, *PROJECTIONS))
    return _is_generated(dataset) or _is_derived_from_slices(dataset) or is_named_so or is_made_of_slices


def _is_tomosynthesis(dataset: "Dataset") -> bool:
    """Return whether this is a volume, its projections, or a volume under one of two other, older classes."""
    sop_class = text(dataset, "SOPClassUID")
    if sop_class in PROJECTIONS:
        return True
    of_breast = _says("Modality", "MG")(dataset) or _says("BodyPartExamined", "BREAST")(dataset)
    is_other_class = sop_class == CT or (sop_class.startswith(SECONDARY_CAPTURE) and HOLOGIC_VOLUME in dataset)
    if of_breast and is_other_class:
        return True
    is_named_so = sop_class == TOMOSYNTHESIS or any(value.startswith("TOMO") for value in _image_type(dataset))
    is_slice = any(kind_words.is_slice(text(dataset, keyword)) for keyword in (*DESCRIPTIONS, "ImageType"))
    is_2d = _is_generated(dataset) or (sop_class != TOMOSYNTHESIS and _is_derived_from_slices(dataset))
    return (is_named_so and (_has_frames(dataset) or not is_2d)) or (is_slice and not is_2d)


def _has_frames(dataset: "Dataset") -> bool:
    return (number(dataset, "NumberOfFrames") or 1) >= 2  # what is no whole number: glam/reading/pixels.py


def _is_document(dataset: "Dataset") -> bool:
    return text(dataset, "SOPClassUID").startswith(DOCUMENTS) or "EncapsulatedDocument" in dataset


def _is_no_image(dataset: "Dataset") -> bool:
    return text(dataset, "SOPClassUID").startswith(NO_IMAGES)


def _is_for_processing(dataset: "Dataset") -> bool:
    processing = (MG_FOR_PROCESSING, DX_FOR_PROCESSING)
    return text(dataset, "SOPClassUID") in processing or _says("PresentationIntentType", "FOR PROCESSING")(dataset)


def _is_no_mammogram(dataset: "Dataset") -> bool:
    """Return whether this is neither digital mammogram nor film: secondary capture, or radiograph of the breast."""
    if _is_digital(dataset):
        return False
    of_breast = _says("Modality", "MG")(dataset) or _says("BodyPartExamined", "BREAST")(dataset)
    is_film = _says("Modality", *FILM_MODALITIES)(dataset) and kind_words.is_film_class(text(dataset, "SOPClassUID"))
    return not (of_breast and is_film)


def _is_film(dataset: "Dataset") -> bool:
    return not _is_digital(dataset) or _says("ConversionType", "DF")(dataset)


def _is_digital(dataset: "Dataset") -> bool:
    """Return whether a mammography unit stored this; of tomosynthesis only what was made 2-D has come so far."""
    return text(dataset, "SOPClassUID") in (MG_FOR_PRESENTATION, TOMOSYNTHESIS)


def _is_colour(dataset: "Dataset") -> bool:
    photometric = text(dataset, "PhotometricInterpretation").upper()
    return (number(dataset, "SamplesPerPixel") or 1) > 1 or photometric.startswith(("RGB", "YBR", "PALETTE"))


def _is_specimen(dataset: "Dataset") -> bool:
    """Return whether tissue outside the patient was exposed; its code stands where the view belongs. CID 4014."""
    coded = SPECIMEN in term_names(dataset, "ViewCodeSequence", VIEW_TERMS)
    return coded or bool(items(dataset, "SpecimenDescriptionSequence")) or _mentions("SPECIMEN")(dataset)


def _has_contrast(dataset: "Dataset") -> bool:
    agent = bool(text(dataset, "ContrastBolusAgent")) or bool(items(dataset, "ContrastBolusAgentSequence"))
    return agent or _mentions(kind_words.CONTRAST)(dataset)


def _has_bare_implant(dataset: "Dataset") -> bool:
    present = text(dataset, "BreastImplantPresent").strip().upper()
    in_words = any(is_mentioned("IMPLANTS?", text(dataset, keyword)) for keyword in DESCRIPTIONS)
    return (present == "YES" or (in_words and present != "NO")) and "implant displaced" not in _modifiers(dataset)


def _has_contradicting_magnification(dataset: "Dataset") -> bool:
    return bool(magnification_of(dataset).contradicting)


def _is_of_other_organ(dataset: "Dataset") -> bool:
    organ = text(dataset, "OrganExposed").strip().upper()
    return bool(organ) and organ != "BREAST"


def _contradicts_its_class(dataset: "Dataset") -> bool:
    """Return whether Modality names another one than MG, which a mammogram's class requires. PS3.3 C.8.11.6."""
    return _is_digital(dataset) and bool(text(dataset, "Modality").strip()) and not _says("Modality", "MG")(dataset)


REFUSALS: Mapping[str, Predicate] = {
    "encapsulated_document": _is_document,
    "no_pixel_data": _is_no_image,
    "tomosynthesis": _is_tomosynthesis,
    "multi_frame": _has_frames,
    "for_processing": _is_for_processing,
    "not_a_mammogram": _is_no_mammogram,
    "not_monochrome": _is_colour,
}
"""Code of an error -> the images it is raised for, the first that holds."""
REMARKS: Mapping[str, Predicate] = {
    "film": _is_film,
    "synthetic_2d": _is_synthetic,
    "quality_control": _says("QualityControlImage", "YES", "BOTH"),
    "specimen": _is_specimen,
    "biopsy": _mentions(kind_words.INTERVENTION),
    "subtraction": _mentions(r"SUBTRACTION|SUBTRACTED|RECOMBINED"),
    "contrast": _has_contrast,
    "partial_view": _says("PartialView", "YES"),
    "orientation_unclear": orientation_unclear,
    "burned_in": _says("BurnedInAnnotation", "YES"),
    "lossy": _says("LossyImageCompression", "01"),
    "implant": _has_bare_implant,
    "other_organ": _is_of_other_organ,
    "modality_differs": _contradicts_its_class,
    "magnification_differs": _has_contradicting_magnification,
    "male_breast": _says("PatientSex", "M"),
}
"""Code of a finding -> the images it is reported for."""
