"""Class vocabularies: BI-RADS of 3, 7 and 5 classes, density 4, cancer 2, mass 2."""

from collections.abc import Sequence
from typing import Literal

Task = Literal["birads", "density", "cancer", "mass"]
Label = int | str

BIRADS_3: tuple[int, ...] = (0, 1, 2)
"""EMBED as GLAM uses it: screening, where what is not settled is recalled (0)."""
BIRADS_7: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
"""EMBED as MaMA uses it."""
BIRADS_5: tuple[int, ...] = (1, 2, 3, 4, 5)
"""VinDr-Mammo."""
DENSITY: tuple[str, ...] = ("a", "b", "c", "d")
CANCER: tuple[int, ...] = (0, 1)
MASS: tuple[int, ...] = (0, 1)

BIRADS_NAMES: dict[int, str] = {
    0: "additional imaging required",
    1: "negative",
    2: "benign finding",
    3: "probably benign finding",
    4: "suspicious abnormality",
    5: "highly suggestive of malignancy",
    6: "known biopsy-proven malignancy",
}
DENSITY_NAMES: dict[str, str] = {
    "a": "almost entirely fat",
    "b": "scattered fibroglandular densities",
    "c": "heterogeneously dense",
    "d": "extremely dense",
}

DEFAULT_CLASSES: dict[Task, tuple[Label, ...]] = {
    "birads": BIRADS_3,
    "density": DENSITY,
    "cancer": CANCER,
    "mass": MASS,
}


def class_names(classes: Sequence[Label]) -> tuple[str, ...]:
    """Classes as the keys of a JSON answer: BI-RADS 0, 1, 2 -> "0", "1", "2"."""
    return tuple(str(label) for label in classes)


def class_index(label: Label | None, classes: Sequence[Label]) -> int | None:
    """Position of a label among the classes; None for an unknown label and for one that is no class of these.

    The released code drops what is no class in the same way: BI-RADS 3 to 6 of a screening study, density 5 (male).
    """
    return None if label is None or label not in classes else list(classes).index(label)
