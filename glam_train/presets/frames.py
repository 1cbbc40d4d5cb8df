"""How each paper prepares a mammogram, as far as `FrameConfig` says it, and the one table of their names.

What no frame says: greys are spread over what lies in the breast, a right breast is mirrored to face left, and what is
not breast is 0, whatever the paper did. docs/methods.md lists what else differs.
"""

from collections.abc import Callable
from dataclasses import replace

from glam.config import FrameConfig
from glam.input_size import InputSize

MAMMO_CLIP_SIZE = (1520, 912)
"""Rows and columns."""
MAMMO_CLIP_GREY = (0.3089279, 0.25053555408335154)
"""Mean and standard deviation that Mammo-CLIP takes from and divides grey values in [0, 1] by."""


def glam_frame(size: InputSize = 518) -> FrameConfig:
    """Columns in millimetres from the nipple; the MLO view turned upright, its muscle cleared."""
    return FrameConfig(size=size)


def glam_paper_frame(size: InputSize = 518) -> FrameConfig:
    """The breast's box stretched to the square; the MLO view turned upright, its muscle cleared."""
    return FrameConfig(size=size, kind="stretch")


def glam_official_frame(size: InputSize = 518) -> FrameConfig:
    """The breast's box stretched to the square; the MLO view turned upright, its muscle left."""
    return FrameConfig(size=size, kind="stretch", mask_muscle=False)


def mama_frame(size: InputSize = 518) -> FrameConfig:
    """The breast's box, its longer side filling the square, the rest black; greys from the darkest to the brightest.

    MaMA, A.4. Its images were scaled to 8 bits by their maximum, without a window.
    """
    return FrameConfig(size=size, kind="isotropic", align_mlo=False, mask_muscle=False, voi="minmax")


def mama_official_frame(size: InputSize = 518) -> FrameConfig:
    """The breast's box stretched to the square, as MaMA's released code does where it is not asked for more."""
    return FrameConfig(size=size, kind="stretch", align_mlo=False, mask_muscle=False)


def mammo_clip_frame(size: InputSize = MAMMO_CLIP_SIZE) -> FrameConfig:
    """The breast's box stretched to 1520 rows x 912 columns; greys by VOI LUT or window, then spread to the full range.

    Mammo-CLIP (arXiv 2405.12255): background rows and columns are cut off, what is left is resized.
    """
    return FrameConfig(size=size, kind="stretch", align_mlo=False, mask_muscle=False, voi="voi_lut")


PREPARATIONS: dict[str, Callable[[InputSize], FrameConfig]] = {
    "glam": glam_frame,
    "glam-paper": glam_paper_frame,
    "glam-official": glam_official_frame,
    "mama": mama_frame,
    "mama-official": mama_official_frame,
    "mammo-clip": mammo_clip_frame,
}
"""By name; a line a preparation."""


def preparation_of(frame: FrameConfig) -> str | None:
    """Return the name of the preparation that a frame is, at whatever size and grey-value policy; None for no one's."""
    named = {name: frame_of(frame.size) for name, frame_of in PREPARATIONS.items()}
    same = [name for name, entry in named.items() if entry == frame]
    same += [name for name, entry in named.items() if replace(entry, voi=frame.voi) == frame]
    return same[0] if same else None


def told_preparation(frame: FrameConfig) -> str:
    """Return in words how images are prepared."""
    name = preparation_of(frame)
    what = (PREPARATIONS[name].__doc__ or "").splitlines()[0] if name else "An own layout of the breast's box."
    return f"{name or 'settings of your own'}: {what} {frame.height} x {frame.width} px, greys {frame.voi}"
