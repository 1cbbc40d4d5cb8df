"""Random changes of a batch of prepared views, in torch: pure functions of the images and a generator."""

from typing import TYPE_CHECKING

from .presets import ImageAugmentation

if TYPE_CHECKING:
    from torch import Generator, Tensor


def augment(images: "Tensor", config: ImageAugmentation, generator: "Generator") -> "Tensor":
    """Return (batch, 1, side, side) images in [0, 1], each moved, re-toned and made noisy on its own."""
    moved = random_affine(images, config, generator)
    toned = random_gamma(moved, config.gamma, generator)
    return add_noise(toned, config.noise, generator)


def _uniform(count: int, half_width: float, generator: "Generator") -> "Tensor":
    import torch

    return (torch.rand(count, generator=generator) * 2 - 1) * half_width


def random_affine(images: "Tensor", config: ImageAugmentation, generator: "Generator") -> "Tensor":
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
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def random_gamma(images: "Tensor", half_width: float, generator: "Generator") -> "Tensor":
    """Raise each image to an exponent that is log-uniform in [e^-half_width, e^half_width]; 0 and 1 stay."""
    exponent = _uniform(len(images), half_width, generator).exp()
    return images.clamp_min(0) ** exponent[:, None, None, None]


def add_noise(images: "Tensor", std: float, generator: "Generator") -> "Tensor":
    """Add Gaussian noise where there is tissue (background stays 0), and clip to [0, 1]."""
    import torch

    noise = torch.randn(images.shape, generator=generator) * std
    return (images + noise * (images > 0)).clamp(0, 1)
