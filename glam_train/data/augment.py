"""Random changes of a batch of prepared views, in torch: pure functions of the images and a generator."""

from typing import TYPE_CHECKING, NamedTuple

from glam_train.config import ImageAugmentation

if TYPE_CHECKING:
    from torch import Generator, Tensor


class Moved(NamedTuple):
    """Images that were moved, and how."""

    images: "Tensor"  # (batch, 1, side, side)
    matrix: "Tensor"  # (batch, 2, 3): from the new image to the old, both axes -1..1 across the square


def augment(
    images: "Tensor", config: ImageAugmentation, generator: "Generator", *, flipped: "Tensor | None" = None
) -> Moved:
    """Return (batch, 1, side, side) images in [0, 1], each moved, re-toned and made noisy on its own.

    `flipped`: (batch,) bool, whose rows are turned over beforehand. None: nobody's.
    """
    moved = random_affine(images if flipped is None else flip_rows(images, flipped), config, generator)
    toned = random_gamma(moved.images, config.gamma, generator)
    matrix = moved.matrix if flipped is None else _after_flip(moved.matrix, flipped)
    return Moved(add_noise(toned, config.noise, generator), matrix)


def flip_rows(images: "Tensor", flipped: "Tensor") -> "Tensor":
    """Turn over the rows of the images that `flipped`, (batch,) bool, names: top becomes bottom."""
    import torch

    return torch.where(flipped[:, None, None, None], images.flip(2), images)


def _after_flip(matrix: "Tensor", flipped: "Tensor") -> "Tensor":
    """Return (batch, 2, 3) matrices that lead on to the images as they were before their rows were turned over."""
    signs = matrix.new_ones(len(matrix), 2)
    signs[:, 1] = 1 - 2 * flipped.to(matrix.dtype)
    return matrix * signs[..., None]


def move_points(points: "Tensor", matrix: "Tensor") -> "Tensor":
    """Return where points of the old images lie in the new ones: (batch, point, 2) x and y, 0..1 across the square.

    `matrix`: of `Moved`. A point that left the square has a coordinate below 0, or of 1 and above.
    """
    import torch

    centred = 2 * points - 1 - matrix[:, None, :, 2]  # (batch, point, 2)
    inverse = torch.linalg.inv(matrix[:, :, :2])
    return (torch.einsum("bij,bpj->bpi", inverse, centred) + 1) / 2


def _uniform(count: int, half_width: float, generator: "Generator") -> "Tensor":
    import torch

    return (torch.rand(count, generator=generator) * 2 - 1) * half_width


def random_affine(images: "Tensor", config: ImageAugmentation, generator: "Generator") -> Moved:
    """Rotate, shift and scale each image about its centre, bilinear, with black beyond the edge."""
    import torch
    from torch.nn import functional as F

    count = len(images)
    angle = torch.deg2rad(_uniform(count, config.rotate_deg, generator))
    zoom = 1 / (1 + _uniform(count, config.scale, generator))
    shift = torch.stack([_uniform(count, 2 * config.shift, generator) for _ in "xy"], dim=1)  # (batch, 2), side is 2
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    linear = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)  # (batch, 2, 2)
    theta = torch.cat([linear, shift[..., None]], dim=2)  # (batch, 2, 3): from the new image to the old
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return Moved(F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False), theta)


def random_gamma(images: "Tensor", half_width: float, generator: "Generator") -> "Tensor":
    """Raise each image to an exponent that is log-uniform in [e^-half_width, e^half_width]; 0 and 1 stay."""
    exponent = _uniform(len(images), half_width, generator).exp()
    return images.clamp_min(0) ** exponent[:, None, None, None]


def add_noise(images: "Tensor", std: float, generator: "Generator") -> "Tensor":
    """Add Gaussian noise where there is tissue (background stays 0), and clip to [0, 1]."""
    import torch

    noise = torch.randn(images.shape, generator=generator) * std
    return (images + noise * (images > 0)).clamp(0, 1)
