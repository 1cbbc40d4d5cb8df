"""The 3-D breast: geometry of both views, gland, strands and lesions, drawn from one seed."""

from dataclasses import dataclass, replace

import numpy as np

from glam.phantom.difficulty import positioned
from glam.phantom.gland import draw_gland
from glam.phantom.habitus import Habitus, PectoralMuscle, draw_habitus
from glam.phantom.lesions import Lesion3D, draw_kinds, draw_lesion, draw_points
from glam.phantom.mapping import Detector, ViewGeometry, slice_radius
from glam.phantom.options import Laterality, PhantomOptions, Seed, Stream, ViewName, density_class, stream
from glam.phantom.strands import Strands, draw_strands

LESION_MARGIN_MM = 12.0  # between a lesion's centre and the border of either image
TISSUE_MARGIN_MM = 5.0


@dataclass(frozen=True, kw_only=True)
class Breast:
    """One breast; all coordinates are those of a left one, and the detector mirrors a right one."""

    seed: Seed
    options: PhantomOptions
    laterality: Laterality
    habitus: Habitus
    geometry: dict[ViewName, ViewGeometry]
    muscle: PectoralMuscle | None
    """None: the MLO view shows none."""
    gland: np.ndarray
    """Gland fraction (96, 128, 128) over (xi, e, z)."""
    strands: Strands
    lesions: tuple[Lesion3D, ...] = ()
    tissue: np.ndarray
    """Plain places (n, 3) in cylinder coordinates that both views show."""

    @property
    def detector(self) -> Detector:
        """The pixel grid of either view."""
        return detector_of(self.options, self.laterality)

    @property
    def left_detector(self) -> Detector:
        """The pixel grid before a right breast is mirrored."""
        return detector_of(self.options, "L")

    @property
    def density(self) -> str:
        """BI-RADS density a to d."""
        return density_class(self.habitus.gland_fraction)

    def pixels_of(self, points: np.ndarray, view: ViewName) -> np.ndarray:
        """Return the stored pixels (n, 2), as x and y, of any points (n, 3) in cylinder coordinates (xi, e, z)."""
        return self.detector.pixels_of(*self.geometry[view].detector_of_points(np.asarray(points, float)))

    def seen(self, points: np.ndarray, *, margin_mm: float) -> np.ndarray:
        """Return which points (n, 3) lie a margin inside the breast and the image in both views."""
        return np.logical_and.reduce([self._seen_in(points, view, margin_mm) for view in self.geometry])

    def _seen_in(self, points: np.ndarray, view: ViewName, margin_mm: float) -> np.ndarray:
        geometry, detector = self.geometry[view], self.detector
        u, v = geometry.detector_of_points(points)
        body = geometry.body_of(u, v)
        width, height = detector.cols * detector.px_mm, detector.rows * detector.px_mm
        inside = (u > margin_mm) & (u < width - margin_mm) & (np.abs(v) < height / 2 - margin_mm)
        return inside & (body.depth_mm > min(margin_mm, TISSUE_MARGIN_MM)) & (body.x_mm > 2)


def detector_of(options: PhantomOptions, laterality: Laterality) -> Detector:
    """Return the pixel grid of the images of one side."""
    rows, cols = options.image_shape
    return Detector(rows=rows, cols=cols, px_mm=options.px_mm, laterality=laterality)


def draw_breast(
    seed: Seed,
    options: PhantomOptions | None = None,
    *,
    laterality: Laterality = "L",
    habitus: Habitus | None = None,
    with_lesions: bool = True,
) -> Breast:
    """Return a breast; its size and density come with a `habitus` that two breasts share, or from the seed."""
    options = options or PhantomOptions()
    habitus = habitus or draw_habitus(seed, options)
    gland = draw_gland(stream(seed, Stream.GLAND), habitus.gland_fraction)
    geometry, muscle = positioned(seed, habitus, options)
    breast = Breast(
        seed=seed,
        options=options,
        laterality=laterality,
        habitus=habitus,
        geometry=geometry,
        muscle=muscle,
        gland=gland,
        strands=draw_strands(stream(seed, Stream.STRANDS), gland),
        tissue=np.empty((0, 3)),
    )
    lesions = _draw_lesions(breast) if with_lesions else ()
    return replace(breast, lesions=lesions, tissue=_draw_tissue(breast))


def _draw_tissue(breast: Breast) -> np.ndarray:
    """Points (n, 3), uniform over the part of the breast that both images show."""
    rng = stream(breast.seed, Stream.TISSUE)
    wanted, points = breast.options.num_tissue_points, np.empty((0, 3))
    while len(points) < wanted:
        ball = rng.uniform((0, -1, -1), (1, 1, 1), (4 * wanted, 3))
        ball = ball[(ball**2).sum(axis=1) < 1]
        candidates = ball / np.stack([np.ones(len(ball)), *2 * [slice_radius(ball[:, 0])]], axis=-1)
        points = np.concatenate([points, candidates[breast.seen(candidates, margin_mm=TISSUE_MARGIN_MM)]])
    return points[:wanted]


def _draw_lesions(breast: Breast) -> tuple[Lesion3D, ...]:
    rng = stream(breast.seed, Stream.LESIONS)
    kinds = draw_kinds(rng, breast.options)
    together = kinds == ("mass", "calcification")  # calcifications of a mass lie in it
    placed: list[Lesion3D] = []
    for kind in kinds:
        lesion = draw_lesion(rng, kind, breast.options)
        point = placed[0].point if together and placed else _free_point(rng, breast, lesion, placed)
        placed.append(replace(lesion, point=point))
    return tuple(placed)


def _free_point(
    rng: np.random.Generator, breast: Breast, lesion: Lesion3D, placed: list[Lesion3D]
) -> tuple[float, float, float]:
    """Draw a point that both images show, apart from the lesions there are."""
    for margin in (LESION_MARGIN_MM,) * 20 + (TISSUE_MARGIN_MM,) * 200:
        points = draw_points(rng, lesion.kind, breast.gland, 200)
        points = points[breast.seen(points, margin_mm=margin)]
        for other in placed:
            points = points[np.linalg.norm(points - other.point, axis=1) > 0.4]
        if len(points):
            xi, e, z = points[0].tolist()
            return xi, e, z
    raise RuntimeError("no place for a lesion in both images")
