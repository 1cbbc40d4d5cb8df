"""Random changes of a batch of prepared views, in torch: pure functions of the images and a generator an image.

An image's changes do not depend on the batch it is in, so that passes, processes and resumed runs may cut an update as
they like.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from glam_train.config import ImageAugmentation

BLUR_REACH = 6
"""Pixels on either side that a blur sees: three of its largest standard deviations."""


class Moved(NamedTuple):
    """Images after a random motion, with the motion."""

    images: Tensor  # (batch, 1, row, col)
    matrix: Tensor  # (batch, 2, 3): from the new image to the old, both axes -1..1 across the square


def augment(
    images: Tensor, config: ImageAugmentation, generators: Sequence[Generator], *, turned: Tensor | None = None
) -> Moved:
    """Return (batch, 1, row, col) images in [0, 1], each moved, re-toned and made noisy on its own.

    `turned`: (batch,) bool, the images whose rows are turned over beforehand. None: no image. The matrix of the result
    includes the turn.
    """
    images = random_reverse(images, config.reverse, generators)
    moved = random_affine(images if turned is None else turn_over(images, turned), config, generators)
    toned = random_gamma(random_blur(moved.images, config.blur, generators), config.gamma, generators)
    matrix = moved.matrix
    if turned is not None:
        signs = matrix.new_ones(len(matrix), 2)  # (batch, axis): -1 for the rows of a turned image
        signs[:, 1] = 1 - 2 * turned.to(matrix.dtype)
        matrix = matrix * signs[..., None]
    return Moved(add_noise(toned, config.noise, generators), matrix)


def turn_over(images: Tensor, turned: Tensor) -> Tensor:
    """Return the images with the rows of those in `turned`, (batch,) bool, in reverse order: top becomes bottom."""
    return torch.where(turned[:, None, None, None], images.flip(2), images)


def move_points(points: Tensor, matrix: Tensor) -> Tensor:
    """Return where points of the old images lie in the new ones: (batch, point, 2) x and y, 0..1 across the square.

    `matrix`: of `Moved`. A point that left the square has a coordinate below 0, or of 1 and above.
    """
    centred = 2 * points - 1 - matrix[:, None, :, 2]  # (batch, point, 2)
    inverse = torch.linalg.inv(matrix[:, :, :2])
    return (torch.einsum("bij,bpj->bpi", inverse, centred) + 1) / 2


def _uniform(count: int, generators: Sequence[Generator]) -> Tensor:
    """Numbers in -1 .. 1: (count, batch)."""
    drawn = [torch.rand(count, generator=generator) for generator in generators]
    return torch.stack(drawn, dim=1) * 2 - 1


def random_affine(images: Tensor, config: ImageAugmentation, generators: Sequence[Generator]) -> Moved:
    """Rotate, shift and scale each image about its centre, bilinear, with black beyond the edge."""
    turn, growth, *aside = _uniform(4, generators)
    angle = torch.deg2rad(turn * config.rotate_deg)
    zoom = 1 / (1 + growth * config.scale)
    shift = torch.stack(aside, dim=1) * 2 * config.shift  # (batch, 2), a side is 2
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    rows, cols = images.shape[2:]  # both axes run over -1..1, so that a turn of pixels is none of theirs in a rectangle
    linear = torch.stack([torch.stack([cos, -sin * (rows / cols)], 1), torch.stack([sin * (cols / rows), cos], 1)], 1)
    theta = torch.cat([linear, shift[..., None]], dim=2)  # (batch, 2, 3): from the new image to the old
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return Moved(F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False), theta)


def random_reverse(images: Tensor, chance: float, generators: Sequence[Generator]) -> Tensor:
    """Reverse each axis of each image with a chance; no point follows it."""
    if not chance:
        return images
    below = _uniform(2, generators) < 2 * chance - 1  # (axis, batch)
    for axis, reversed_ones in enumerate(below, start=2):
        images = torch.where(reversed_ones[:, None, None, None], images.flip(axis), images)
    return images


def random_blur(images: Tensor, chance: float, generators: Sequence[Generator]) -> Tensor:
    """Blur each image with a chance, by a Gaussian whose standard deviation is uniform in 0.1 .. 2 pixels."""
    if not chance:
        return images
    drawn, width = (_uniform(2, generators) + 1) / 2
    sigma = torch.where(drawn < chance, 0.1 + 1.9 * width, 1e-3)  # (batch,)
    steps = torch.arange(-BLUR_REACH, BLUR_REACH + 1)
    kernel = torch.exp(-steps.square() / (2 * sigma[:, None].square()))
    kernel = kernel / kernel.sum(dim=1, keepdim=True)  # (batch, step)
    spread = images.transpose(0, 1)  # (1, batch, row, col): an image a channel
    for shape in ((1, 1, -1, 1), (1, 1, 1, -1)):
        weights = kernel.reshape(len(kernel), *shape[1:])
        margin = (0, 0, BLUR_REACH, BLUR_REACH) if shape[2] == -1 else (BLUR_REACH, BLUR_REACH, 0, 0)
        spread = F.conv2d(F.pad(spread, margin, mode="replicate"), weights, groups=len(kernel))
    return spread.transpose(0, 1)


def random_gamma(images: Tensor, half_width: float, generators: Sequence[Generator]) -> Tensor:
    """Raise each image to an exponent that is log-uniform in [e^-half_width, e^half_width]; 0 and 1 stay."""
    exponent = (_uniform(1, generators)[0] * half_width).exp()
    return images.clamp_min(0) ** exponent[:, None, None, None]


def add_noise(images: Tensor, std: float, generators: Sequence[Generator]) -> Tensor:
    """Add Gaussian noise where there is tissue (background stays 0), and clip to [0, 1]."""
    if not std:
        return images
    drawn = [torch.randn(image.shape, generator=own) for image, own in zip(images, generators, strict=True)]
    noise = torch.stack(drawn) * std
    return (images + noise * (images > 0)).clamp(0, 1)
