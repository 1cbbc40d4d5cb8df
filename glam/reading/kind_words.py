"""Words of descriptions for kinds of images: slices of tomosynthesis, contrast agent, interventions, magnification.

English first, then what German, French, Spanish, Italian, Portuguese and Dutch write; over folded text.
"""

import re

from glam.reading.view_text import is_mentioned

TOMO = r"TOMO\w*|DBT|3D"
SLICES = r"SLICES?|SLABS?|PLANES?|RECON\w*|PROJECTIONS?|VOLUMES?|STACK|SCHICHT\w*|COUPES?|CORTES?|STRAT[OI]|FETT[AE]"
TOMO_SLICES = rf"(?:{TOMO})\W+(?:\w+\W+){{0,3}}(?:{SLICES})|(?:{SLICES})\W+(?:\w+\W+){{0,3}}(?:{TOMO})"
NUMBERED_SLICE = r"(?:SLICE|SCHICHT|COUPE|CORTE)\W*(?:NO\W*|NR\W*|#\W*)?\d+"
SLICE = rf"TOMO(?:SLICES?|SLABS?)|SMART[- ]?SLICES?|SLABS?|{NUMBERED_SLICE}|{TOMO_SLICES}"
"""A slice or a slab of tomosynthesis, stored as a mammogram."""
TWO_DIMENSIONAL = r"2-?D|SPECIMEN|[CS][- ]?VIEWS?|V[- ]?PREVIEW|SYNTH\w*"
"""What such words belong to, where they describe a 2-D image made from slices, or slices of a specimen."""
CONTRAST = (
    r"CEDM|CESM|CEM|CEDBT|CE[- ]?MAMMO\w*|LOW[- ]?ENERGY|HIGH[- ]?ENERGY|DUAL[- ]?ENERGY|CONTRAST[- ]?ENHANCED|"
    r"(?:WITH|W/|POST|PRE|AFTER|IV)[- ]*CONTRAST|CONTRAST[- ]?(?:MAMMO\w*|AGENT|MEDI(?:UM|A))|KONTRASTMITTEL\w*|"
    r"(?:AVEC|PRODUIT DE|CON|MEDIO DE|COM|MEZZO DI|MET) CONTRAST[EO]?|"
    r"ANGIO[- ]?MAMMO\w*|GALA[CK]TO\w*|DU[CK]TOGR\w*"
)
"""Contrast agent in the vessels, or in the ducts of the breast (galactography)."""
INTERVENTION = (
    r"STEREO\w*|BIOPSY\w*|BIOPS\w*|BX|(?:PRE|POST)[- ]?FIRE\w*|"
    r"POST[- ]?(?:BIOPSY|MARKER|CLIPS?|BX|PROCEDURE|WIRE|LOC)\w*|CLIP[- ]?(?:PLACEMENT|CHECK|MARK\w*)|"
    r"(?:WIRE|NEEDLE|SEED|HOOK)[- ]?(?:GUIDED[- ]?)?LOC\w*|LOCALI[SZ]ATION\w*|HOOK[- ]?WIRE|WIRE|"
    r"DRAHT(?!LOS)\w*|NADEL\w*|LOKALISATION\w*|REPERAGE\w*|HARPON\w*|ARPON\w*|LOCALIZACION|LOCALIZZAZIONE|LOCALIZACAO"
)
"""Biopsy, stereotaxy, wires and clips."""
SYNTHETIC_NAMES = (
    r"[CS][- ]?VIEWS?|G-VIEW|V[- ]?PREVIEW|(?:GENERATED|SYNTH|INTELLIGENT|INSIGHT)[- ]?2D|"
    r"SYNTH(?:ETIC|ESI[SZ]ED)[- ]?(?:2D|MAMMO\w*|VIEWS?|IMAGES?)"
)
"""Names of products that make a 2-D mammogram from tomosynthesis."""
GENERATED_2D = re.compile(r"(GENERATED|TOMO|SYNTHETIC)[-_ ]?2D")
"""A value of ImageType that calls a 2-D image synthetic: as in PS3.3 C.8.11.7.1.4, and as vendors write."""
FILM_CLASSES = ("1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.1")
"""Storage classes of films, without what follows a further full stop: secondary capture, computed and digital X-ray."""
STANDARD_CLASSES = "1.2.840.10008."


def is_film_class(sop_class: str) -> bool:
    """Return whether a film may be stored under a class: under one of FILM_CLASSES, none, or one of a vendor's own."""
    is_standard = sop_class.startswith(STANDARD_CLASSES)
    return not is_standard or any(f"{sop_class}.".startswith(f"{beginning}.") for beginning in FILM_CLASSES)


def is_slice(words: str) -> bool:
    """Return whether words call an image a slice or a slab, not a 2-D image made from them."""
    return is_mentioned(SLICE, words) and not is_mentioned(TWO_DIMENSIONAL, words)
