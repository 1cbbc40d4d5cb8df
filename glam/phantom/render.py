"""One view of a breast: from the 3-D anatomy to a FOR PRESENTATION image and its truth."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from glam.phantom.anatomy import Breast
from glam.phantom.difficulty import quanta_factor
from glam.phantom.exposure import MU_FAT, MU_GLAND, MU_MUSCLE, MU_SKIN, coarse_step, detected, presented
from glam.phantom.gland import SHAPE, gland_seen
from glam.phantom.habitus import PectoralMuscle
from glam.phantom.image import blur, fine_texture, splat, upsampled
from glam.phantom.mapping import BodyPlace, ViewGeometry
from glam.phantom.marks import add_marks
from glam.phantom.options import Laterality, Stream, ViewName, seed_text, stream
from glam.phantom.stamps import Stamp, stamps_of
from glam.phantom.strands import Strands
from glam.phantom.truth import ViewTruth, view_truth

_LOBULE_MM3 = 0.4  # gland of a lobule of weight 1
_CURVE_MM3 = 0.9  # gland that one point of a curve stands for
_CURVE_MM = 2.0  # most that curves add: one seen end-on would pass for a calcification
NIPPLE_MM = (5.5, 5.0, 11.0)  # how far it stands out, half its width, its thickness along the ray
_CROP = 32  # the columns of a crop are a multiple of it, so that tables of few sizes are kept


@dataclass(frozen=True, kw_only=True)
class Projection:
    """A rendered view: 12-bit pixels as stored in DICOM, tissue bright, air 0."""

    pixels: np.ndarray
    """(rows, cols) uint16."""
    view: ViewName
    laterality: Laterality
    px_mm: float
    truth: ViewTruth
    seed: str
    """Of the breast, as text."""


@dataclass(frozen=True)
class _Sheet:
    """The columns of a left image that hold the breast, on the coarse grid and at full resolution."""

    geometry: ViewGeometry
    px_mm: float
    shape: tuple[int, int]
    step: int
    coarse: BodyPlace
    depth: np.ndarray  # below the skin in mm, (rows, cols)

    def fine(self, coarse: np.ndarray, step: int | None = None) -> np.ndarray:
        """Bring an array of a coarse grid to (rows, cols)."""
        return upsampled(coarse.astype(np.float32, copy=False), step or self.step, self.shape)

    def pixels_of(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the pixels x, y of detector places."""
        return u / self.px_mm, self.shape[0] / 2 - v / self.px_mm


def render(breast: Breast, view: ViewName) -> Projection:
    """Return one view of a breast; nothing in it depends on whether the other one was rendered."""
    geometry, px_mm = breast.geometry[view], breast.options.px_mm
    sheet = _sheet(geometry, breast.options.image_shape, px_mm)
    rng = stream(breast.seed, Stream.NOISE_CC if view == "CC" else Stream.NOISE_MLO)
    thickness, skin = _slab(sheet)
    gland = _gland_mm(breast, sheet, thickness - skin, rng)
    attenuation = MU_FAT * thickness + (MU_SKIN - MU_FAT) * skin
    if view == "MLO" and breast.muscle is not None:
        muscle, gland_kept = _muscle(breast.muscle, sheet)
        gland *= gland_kept
        attenuation += (MU_MUSCLE - MU_FAT) * np.minimum(muscle, 0.6 * thickness)
    np.clip(gland, 0, thickness, out=gland)
    attenuation += (MU_GLAND - MU_FAT) * gland
    stamps = _stamps(breast, view)
    for stamp in (stamp for group in stamps for stamp in group):
        stamp.added_to(attenuation)
    nipple = _nipple(sheet)
    attenuation += nipple
    attenuation *= (body := (sheet.depth > 0) | (nipple > 0))
    equalised = np.float32(0.88 * MU_FAT) * (geometry.thickness_mm - thickness)
    intensity = detected(attenuation, rng, px_mm=px_mm, quanta=quanta_factor(breast.seed, view, breast.options))
    shown = presented(intensity, body, equalised, thickness_mm=geometry.thickness_mm, px_mm=px_mm)
    truth = view_truth(breast, view, [group[0].box for group in stamps], float(gland.sum() / thickness.sum()))
    return Projection(
        pixels=_stored(shown, breast, view),
        view=view,
        laterality=breast.laterality,
        px_mm=px_mm,
        truth=truth,
        seed=seed_text(breast.seed),
    )


def _sheet(geometry: ViewGeometry, image_shape: tuple[int, int], px_mm: float) -> _Sheet:
    rows, cols = image_shape
    step = coarse_step(px_mm)
    reach = int((geometry.skin_mm()[0].max() + 12) / px_mm)  # the nipple stands out by less
    cols = min(cols, -(-reach // _CROP) * _CROP)
    u = (np.arange(-(-cols // step)) + 0.5) * step * px_mm
    v = (rows / 2 - (np.arange(-(-rows // step)) + 0.5) * step) * px_mm
    coarse = geometry.body_of(*np.broadcast_arrays(u.astype(np.float32), v.astype(np.float32)[:, None]))
    depth = upsampled(coarse.depth_mm.astype(np.float32), step, (rows, cols))
    return _Sheet(geometry, px_mm, (rows, cols), step, coarse, depth)


def _slab(sheet: _Sheet) -> tuple[np.ndarray, np.ndarray]:
    """Thickness in mm along the ray of the breast, rounded at its edge, and of the skin in it."""
    half = np.float32(sheet.geometry.thickness_mm / 2)
    thickness = _rounded(sheet.depth, half)
    skin = thickness - _rounded(sheet.depth - np.float32(1.5), half)
    return thickness, np.float32(0.75) * np.minimum(np.maximum(skin, 3), thickness)


def _rounded(depth: np.ndarray, half: np.ndarray | np.floating) -> np.ndarray:
    """Thickness of a slab whose edge is half a circle, at a depth below its edge."""
    missing = half - np.clip(depth, 0, half)
    return 2 * np.sqrt(half * half - missing * missing)


def _gland_mm(breast: Breast, sheet: _Sheet, room: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Thickness of gland in mm along the ray: what the volume holds, the strands, and the texture beyond its voxels."""
    seen = gland_seen(breast.gland, sheet.geometry)
    place = sheet.coarse
    index = np.stack([place.xi * SHAPE[0] - 0.5, (place.across + 1) * SHAPE[1] / 2 - 0.5])
    fraction = ndimage.map_coordinates(seen, index, order=1, mode="nearest", output=np.float32)
    gland = sheet.fine(fraction) * room
    strands = _strands_mm(breast.strands, sheet)
    texture = fine_texture(rng, sheet.shape, sheet.px_mm)
    texture *= 0.14 + 0.26 * np.sqrt(np.maximum(gland + strands, 0))
    gland += strands
    gland += texture
    return gland


def _strands_mm(strands: Strands, sheet: _Sheet) -> np.ndarray:
    """Thickness of the lobules and curves, drawn at 0.48 mm."""
    step = max(1, round(0.48 / sheet.px_mm))
    pitch = step * sheet.px_mm
    shape = (-(-sheet.shape[0] // step), -(-sheet.shape[1] // step))
    total = np.zeros(shape, np.float32)
    for points, weights, sigma_mm, most_mm in (
        (strands.lobules, _LOBULE_MM3 * strands.lobule_weights, 1.0, np.inf),
        (strands.curves, _CURVE_MM3 * strands.curve_weights, 0.43, _CURVE_MM),
    ):
        nu = sheet.geometry.across(points)
        x, y = sheet.pixels_of(*sheet.geometry.detector_of(points[:, 0], nu, iterations=3))
        layer = blur(splat(x / step, y / step, weights / pitch**2, shape), sigma_mm / pitch)
        total += np.minimum(layer, most_mm)
    return sheet.fine(total, step)


def _muscle(muscle: PectoralMuscle, sheet: _Sheet) -> tuple[np.ndarray, np.ndarray]:
    """Thickness of the pectoral muscle in mm, and the share of the gland that is left over it."""
    behind = sheet.fine(muscle.edge_mm(sheet.coarse.y_mm) - sheet.coarse.x_mm)  # mm behind the muscle's edge
    inside = np.maximum(behind, 0)
    thickness = muscle.thickness_mm * (1 - np.exp(-inside / np.float32(muscle.reach_mm)))
    thickness += 1.2 * np.minimum(inside, 1.6)
    x, y = sheet.coarse.x_mm, sheet.coarse.y_mm
    fibres = np.sin(0.55 * x + 0.13 * y + 1.5 * np.sin(0.11 * x - 0.07 * y)) + np.sin(0.31 * x - 0.05 * y)
    thickness *= 1 + 0.03 * sheet.fine(fibres)
    return thickness, np.clip(1 - behind / 6, 0.25, 1)


def _nipple(sheet: _Sheet) -> np.ndarray:
    """Attenuation of the nipple (rows, cols): an ellipsoid in profile, faint where it overlies the breast."""
    long, wide, deep = NIPPLE_MM
    u, v = sheet.geometry.detector_of(np.array([1.0]), np.array([0.0]))
    (x0,), (y0,) = sheet.pixels_of(u, v)
    y, x = np.ogrid[: sheet.shape[0], : sheet.shape[1]]
    rows = slice(max(int(y0 - 8 / sheet.px_mm), 0), int(y0 + 8 / sheet.px_mm))
    cols = slice(max(int(x0 - 8 / sheet.px_mm), 0), int(x0 + 8 / sheet.px_mm))
    right, down = (x[:, cols] + 0.5 - x0) * sheet.px_mm, (y[rows] + 0.5 - y0) * sheet.px_mm
    cos, sin = np.cos(sheet.geometry.alpha), np.sin(sheet.geometry.alpha)
    ahead, aside = right * cos + down * sin, down * cos - right * sin
    thickness = deep * np.sqrt(np.maximum(1 - (ahead / long) ** 2 - (aside / wide) ** 2, 0))
    image = np.zeros(sheet.shape, np.float32)
    outside = np.clip(1 - sheet.depth[rows, cols], 0, 1)  # the skin takes over within a millimetre
    image[rows, cols] = thickness * (0.012 + 0.030 * outside)
    return image


def _stamps(breast: Breast, view: ViewName) -> list[list[Stamp]]:
    """Return what each lesion adds, in the pixels of a left image."""
    geometry, px_mm = breast.geometry[view], breast.options.px_mm
    left = breast.left_detector
    return [
        stamps_of(lesion, geometry, left.pixels_of(*geometry.detector_of_points(np.array([lesion.point])))[0], px_mm)
        for lesion in breast.lesions
    ]


def _stored(shown: np.ndarray, breast: Breast, view: ViewName) -> np.ndarray:
    """Lay the crop into the whole image, add what lies beside the breast, and mirror that of a right one."""
    image = np.zeros(breast.options.image_shape, np.uint16)
    image[:, : shown.shape[1]] = shown
    add_marks(image, view, breast.seed, breast.options)
    return np.ascontiguousarray(image[:, ::-1]) if breast.laterality == "R" else image
