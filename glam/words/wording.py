"""The words of reports and prompts: the papers' template as cited data, our additions, and what a finding may say.

Cited verbatim from the released code of GLAM and MaMA (XYPB/GLAM b863b78, dataset/constants_val.py, Apache-2.0) and
held to captions and prompts which that code produced: tests/golden/captions.json.
"""

from typing import Literal, NamedTuple, get_args

Style = Literal["papers", "glam", "natural", "clip"]
"""How reports and prompts are worded: `glam.words.report.report_text` says what each is."""
STYLES: tuple[Style, ...] = get_args(Style)

UNKNOWN = "unknown"
SEPARATOR = "[SEP]"
"""What closes a sentence in the text of a report."""

PROCEDURE = "Procedure reported: {}"
REASON = "Reason for procedure: {}"
PATIENT = "Patient info: This patient is {race}, {ethnicity}, and {age} years old"
IMAGE = "Image info: This is a {image_type} full-field digital mammogram of the {side} breast with {view} view"
COMPOSITION = "Breast composition: The breast is {}"
LOWER_SENSITIVITY = "This may lower the sensitivity of mammography"
FINDINGS = "Findings: The mammogram shows that {}"
MASS = "The mass is {shape} and {density}"
CALCIFICATION = "A {distribution} {calc_type} calcification is present"
IMPRESSIONS = "Impressions: BI-RADS Category {birads}: {name}"
OVERALL = "Overall Assessment: {}"

SIDES: dict[str, str] = {"L": "left", "R": "right"}
DENSE = ("c", "d")
"""Density classes whose report goes on with LOWER_SENSITIVITY."""


class Assessment(NamedTuple):
    """What a BI-RADS category says in the findings and in the overall assessment."""

    finding: str
    overall: str


ASSESSMENTS: dict[int, Assessment] = {
    0: Assessment("an additional imaging is recommended", "Additional imaging is recommended"),
    1: Assessment("no significant masses, calcification, or other abnormalities are present", "Negative"),
    2: Assessment("a benign finding is present", "Benign"),
    3: Assessment("a probably benign finding is present", "Probably benign"),
    4: Assessment("a suspicious abnormality is present", "Suspicious abnormality"),
    5: Assessment(
        "a highly suggestive of malignancy is present, a biopsy is recommended", "Highly suggestive of malignancy"
    ),
    6: Assessment("a known biopsy-proven malignant mass is present", "Known biopsy-proven malignancy"),
}

MASS_DENSITIES: dict[str, str] = {
    "high": "High density",
    "equal": "Isodense",
    "low": "Low density",
    "fat": "Fat containing",
}
"""Our word -> EMBED's legend, which the papers' sentence quotes."""

# From here on the wording is ours.
NO_MASS = "No mass is present"
PRESENT: dict[str, str] = {
    "mass": "A mass is present",
    "calcification": "A calcification is present",
    "distortion": "An architectural distortion is present",
    "asymmetry": "An asymmetry is present",
}
ONE_WORD_MASS = "The mass is {}"
SIZE = "measures {} mm"
MARGIN = "has {} margins"
DEPTH = "at {} depth"
LOCATIONS: dict[str, str] = {
    "upper outer": "in the upper outer quadrant",
    "upper inner": "in the upper inner quadrant",
    "lower outer": "in the lower outer quadrant",
    "lower inner": "in the lower inner quadrant",
    "upper": "in the upper breast",
    "lower": "in the lower breast",
    "outer": "in the outer breast",
    "inner": "in the inner breast",
    "central": "in the central breast",
    "retroareolar": "in the retroareolar region",
    "axillary tail": "in the axillary tail",
}

LESION_WORDS: dict[str, tuple[str, ...]] = {
    "kind": tuple(PRESENT),
    "shape": ("round", "oval", "lobular", "irregular"),
    "margin": ("circumscribed", "obscured", "microlobulated", "indistinct", "spiculated"),
    "density": tuple(MASS_DENSITIES),
    "calc_type": (
        "amorphous",
        "coarse",
        "coarse heterogeneous",
        "dystrophic",
        "eggshell",
        "fine linear",
        "fine linear branching",
        "fine pleomorphic",
        "large rod-like",
        "lucent-centered",
        "milk of calcium",
        "popcorn",
        "punctate",
        "rim",
        "round",
        "skin",
        "suture",
        "vascular",
    ),
    "distribution": ("diffuse", "regional", "grouped", "linear", "segmental"),
    "depth": ("anterior", "middle", "posterior"),
    "location": tuple(LOCATIONS),
}
"""Every word a finding may use (the lexicon of BI-RADS, fifth edition); an empty string is unknown."""

TURNED: dict[str, dict[str, str]] = {
    "CC": {"outer": "inner", "inner": "outer"},
    "MLO": {"upper": "lower", "lower": "upper"},
}
"""View -> the words of place that trade places when its rows are turned over: outer and inner are read from the CC
view, upper and lower from the MLO view."""


def turned_location(location: str, *, cc: bool, mlo: bool) -> str:
    """Return the word of place of a finding after the rows of the named views were turned over; "" is unknown.

    A word that neither view decides (central, retroareolar) stays. The axillary tail has no opposite: its word is
    dropped.
    """
    if location == "axillary tail" and (cc or mlo):
        return ""
    opposites = (TURNED["CC"] if cc else {}) | (TURNED["MLO"] if mlo else {})
    return " ".join(opposites.get(word, word) for word in location.split())


# The style natural: plain sentences without headings. The style clip: one sentence of phrases.
NATURAL_EXAM = "This is {}"
NATURAL_SHOWS = "It shows"
NATURAL_SIDE = "the {} breast"
NATURAL_BREAST = "a breast"
NATURAL_VIEW = "in the {} view"
NATURAL_PATIENT = "The patient is {}"
NATURAL_AGE = "{} years old"
NATURAL_DENSITIES: dict[str, tuple[str, ...]] = {
    "a": ("The breast is almost entirely fat",),
    "b": ("There are scattered fibroglandular densities in the breast",),
    "c": ("The breast is heterogeneously dense", "The dense tissue may lower the sensitivity of mammography"),
    "d": ("The breast is extremely dense", "The dense tissue may lower the sensitivity of mammography"),
}
NATURAL_FINDINGS: dict[int, str] = {
    0: "Additional imaging is needed",
    1: "No mass, calcification or other abnormality is present",
    2: "A benign finding is present",
    3: "A probably benign finding is present",
    4: "A suspicious abnormality is present",
    5: "A finding that is highly suggestive of malignancy is present, and a biopsy is recommended",
    6: "A malignancy that a biopsy has proven is present",
}
NATURAL_CATEGORY = "The assessment is BI-RADS category {birads}, {name}"

CLIP_IMAGE = "A mammogram"
CLIP_SIDE = "of the {} breast"
CLIP_VIEW = "in the {} view"
CLIP_DENSITIES: dict[str, str] = {
    "a": "with almost entirely fatty tissue",
    "b": "with scattered fibroglandular densities",
    "c": "with heterogeneously dense tissue",
    "d": "with extremely dense tissue",
}
CLIP_CATEGORY = "assessed as BI-RADS category {birads}, {name}"
CLIP_MASS = ("without a mass", "with a mass")

SCREENING_PROCEDURE = "MG Screening Bilateral"
SCREENING_REASON = "screening"
"""What phantoms and the reports of `glam.words.prompts` were done for."""
