"""What is known of a phantom: where every lesion and tissue point lies in both views, and how the views were made."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from glam.phantom.gland import gland_at
from glam.phantom.landmarks import landmarks_of
from glam.phantom.options import Laterality, ViewName, seed_text

if TYPE_CHECKING:
    from glam.phantom.anatomy import Breast
    from glam.phantom.lesions import Lesion3D

XY = tuple[float, float]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class LesionPlace:
    """A lesion in one view, in stored pixels."""

    centre: XY
    box: Box
    nipple_distance_mm: float
    """Along the posterior nipple line."""
    depth: str
    """anterior, middle or posterior third of that line."""


@dataclass(frozen=True, kw_only=True)
class ViewTruth:
    """One view: points as [x, y] in stored pixels, the centre of pixel i at i + 0.5."""

    view: ViewName
    laterality: Laterality
    rows: int
    cols: int
    px_mm: float
    nipple: XY
    pnl_foot: XY
    """Where the posterior nipple line meets the chest wall (CC) or the pectoral muscle (MLO)."""
    pnl_direction: XY
    """Unit vector along that line toward the nipple."""
    pectoral_line: tuple[XY, XY] | None
    """Two points of the straight line closest to the muscle's edge. None: no muscle in the view."""
    alpha_deg: float
    """Angle of the posterior nipple line below the rows."""
    theta_deg: float
    """Gantry angle."""
    length_mm: float
    half_width_mm: float
    thickness_mm: float
    volumetric_density: float
    """Gland over breast along all rays, septa included."""
    lesions: tuple[LesionPlace, ...]
    tissue: np.ndarray = field(repr=False)
    """Tissue points (n, 2), in the order of `BreastTruth.tissue`."""

    @property
    def pnl_mm(self) -> float:
        """Length of the posterior nipple line."""
        return float(np.hypot(self.nipple[0] - self.pnl_foot[0], self.nipple[1] - self.pnl_foot[1]) * self.px_mm)

    def nipple_distance_mm(self, pixels: np.ndarray) -> np.ndarray:
        """Return how far stored pixels (n, 2) lie behind the nipple, along the posterior nipple line."""
        return (np.array(self.nipple) - pixels) @ np.array(self.pnl_direction) * self.px_mm

    def as_json(self) -> dict[str, Any]:
        """Return nested dicts and lists of JSON types."""
        return asdict(self) | {"tissue": np.round(self.tissue, 2).tolist(), "pnl_mm": self.pnl_mm}


@dataclass(frozen=True, kw_only=True)
class LesionTruth:
    """A lesion of the 3-D breast in BI-RADS words (empty where they do not apply), and in both views."""

    kind: str
    shape: str
    margin: str
    density: str
    calc_type: str
    distribution: str
    size_mm: float
    birads: int
    """The assessment 2 to 5 that the words call for."""
    point: tuple[float, float, float]
    """Centre in cylinder coordinates (xi, e, z)."""
    quadrant: str
    """upper outer, upper inner, lower outer, lower inner or central."""
    views: dict[ViewName, LesionPlace]


@dataclass(frozen=True, kw_only=True)
class BreastTruth:
    """A breast and both of its views."""

    seed: str
    """Entropy and spawn key: enough to draw the breast again with the same options."""
    laterality: Laterality
    density: str
    gland_fraction: float
    birads: int
    """1 to 5: the gravest lesion's assessment, 1 without one."""
    lesions: tuple[LesionTruth, ...]
    tissue: np.ndarray = field(repr=False)
    """Plain places (n, 3) of the breast as (xi, e, z); `ViewTruth.tissue` has them in either view."""
    tissue_gland: np.ndarray = field(repr=False)
    """Gland fraction (n,) at those places."""
    views: dict[ViewName, ViewTruth]

    @property
    def birads_screening(self) -> int:
        """The classes of a screening collection: 0 incomplete, 1 negative, 2 benign."""
        return self.birads if self.birads < 3 else 0

    @property
    def cancer(self) -> int:
        """1 when a lesion is as good as certain to be one (BI-RADS 5); a phantom has no pathology."""
        return int(self.birads == 5)

    def as_json(self) -> dict[str, Any]:
        """Return nested dicts and lists of JSON types."""
        return {
            **{name: getattr(self, name) for name in ("seed", "laterality", "density", "gland_fraction", "birads")},
            "birads_screening": self.birads_screening,
            "cancer": self.cancer,
            "lesions": [asdict(lesion) for lesion in self.lesions],
            "tissue": np.round(self.tissue, 4).tolist(),
            "tissue_gland": np.round(self.tissue_gland, 4).tolist(),
            "views": {name: view.as_json() for name, view in self.views.items()},
        }


def view_truth(breast: "Breast", view: ViewName, boxes: list[Box], volumetric_density: float) -> ViewTruth:
    """Return the truth of one view; `boxes` hold the lesions in the pixels of a left image."""
    geometry, detector = breast.geometry[view], breast.detector
    marks = landmarks_of(geometry, breast.muscle, height_mm=detector.rows * detector.px_mm)
    nipple, foot = (detector.pixels_of(*np.array(place)) for place in (marks.nipple, marks.foot))
    line = None if marks.pectoral_line is None else detector.pixels_of(*np.array(marks.pectoral_line).T)
    direction = np.subtract(nipple, foot) / np.hypot(*np.subtract(nipple, foot))
    truth = ViewTruth(
        view=view,
        laterality=breast.laterality,
        rows=detector.rows,
        cols=detector.cols,
        px_mm=detector.px_mm,
        nipple=_xy(nipple),
        pnl_foot=_xy(foot),
        pnl_direction=_xy(direction),
        pectoral_line=None if line is None else (_xy(line[0]), _xy(line[1])),
        alpha_deg=float(np.degrees(geometry.alpha)),
        theta_deg=float(np.degrees(geometry.theta)),
        length_mm=geometry.length_mm,
        half_width_mm=geometry.bottom_mm,
        thickness_mm=geometry.thickness_mm,
        volumetric_density=volumetric_density,
        lesions=(),
        tissue=breast.pixels_of(breast.tissue, view),
    )
    centres = [breast.pixels_of(np.array([lesion.point]), view)[0] for lesion in breast.lesions]
    places = (_place(truth, centre, box) for centre, box in zip(centres, boxes, strict=True))
    return replace(truth, lesions=tuple(places))


def breast_truth(breast: "Breast", views: dict[ViewName, ViewTruth]) -> BreastTruth:
    """Return the truth of a breast whose views were rendered."""
    lesions = tuple(_lesion_truth(breast, index, views) for index in range(len(breast.lesions)))
    return BreastTruth(
        seed=seed_text(breast.seed),
        laterality=breast.laterality,
        density=breast.density,
        gland_fraction=breast.habitus.gland_fraction,
        birads=assessment(breast.lesions),
        lesions=lesions,
        tissue=breast.tissue,
        tissue_gland=gland_at(breast.gland, breast.tissue),
        views=views,
    )


def assessment(lesions: "tuple[Lesion3D, ...]") -> int:
    """Return BI-RADS 1 to 5 of a breast: calcifications in a mass make it at least a 4."""
    together = len({lesion.kind for lesion in lesions}) > 1
    return max([1, *(lesion.birads for lesion in lesions), *([4] if together else [])])


def _place(truth: ViewTruth, centre: np.ndarray, box: Box) -> LesionPlace:
    x0, y0, x1, y1 = np.clip(box, 0, (truth.cols, truth.rows) * 2).tolist()
    if truth.laterality == "R":
        x0, x1 = truth.cols - x1, truth.cols - x0
    distance = float(truth.nipple_distance_mm(centre[None])[0])
    third = int(np.clip(3 * distance / truth.pnl_mm, 0, 2))
    return LesionPlace(
        centre=_xy(centre),
        box=(x0, y0, x1, y1),
        nipple_distance_mm=distance,
        depth=("anterior", "middle", "posterior")[third],
    )


def _lesion_truth(breast: "Breast", index: int, views: dict[ViewName, ViewTruth]) -> LesionTruth:
    lesion = breast.lesions[index]
    _, e, z = lesion.point
    central = np.hypot(e, z) < 0.15
    words = {name: getattr(lesion, name) for name in ("kind", "shape", "margin", "density", "calc_type")}
    return LesionTruth(
        **words,
        distribution=lesion.distribution,
        size_mm=lesion.size_mm,
        birads=lesion.birads,
        point=lesion.point,
        quadrant="central" if central else f"{'upper' if z > 0 else 'lower'} {'outer' if e > 0 else 'inner'}",
        views={name: view.lesions[index] for name, view in views.items()},
    )


def _xy(point: Sequence[float] | np.ndarray) -> XY:
    return float(point[0]), float(point[1])
