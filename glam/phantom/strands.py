"""What is finer than a voxel and yet the same in both views: lobules as points; ducts, ligaments, vessels as curves."""

from typing import NamedTuple

import numpy as np

from glam.phantom.gland import SHAPE

NUM_LOBULES = 9000
_STEP = 0.0075  # of a curve, in units of the half ball


class Strands(NamedTuple):
    """Points in half-ball coordinates (xi, eta, zeta), with the weight each adds to the image."""

    lobules: np.ndarray  # (n, 3)
    lobule_weights: np.ndarray  # (n,)
    curves: np.ndarray  # (m, 3)
    curve_weights: np.ndarray  # (m,)


class _Walks(NamedTuple):
    points: np.ndarray  # (curve, step, 3)
    headings: np.ndarray  # (curve, step, 3)
    kept: np.ndarray  # (curve, step): within the curve's length and inside the breast


def draw_strands(rng: np.random.Generator, gland: np.ndarray) -> Strands:
    """Return lobules where there is gland, and curves all over the breast."""
    lobules = _lobules(rng, gland)
    walks = [*_ducts(rng), _ligaments(rng), _vessels(rng)]
    amplitudes = [(1.0, 0.35), (0.8, 0.3), (0.75, 0.35), (1.3, 0.35)]
    weights = [
        np.repeat(np.abs(rng.normal(mean, spread, len(walk.points))), walk.kept.sum(axis=1))
        for walk, (mean, spread) in zip(walks, amplitudes, strict=True)
    ]
    return Strands(
        lobules=lobules.astype(np.float32),
        lobule_weights=rng.gamma(1.2, size=len(lobules)),
        curves=np.concatenate([walk.points[walk.kept] for walk in walks]).astype(np.float32),
        curve_weights=np.concatenate(weights),
    )


def _lobules(rng: np.random.Generator, gland: np.ndarray) -> np.ndarray:
    flat, chosen = gland.ravel(), np.empty(0, np.int64)
    while len(chosen) < NUM_LOBULES:
        voxels = rng.integers(0, flat.size, 2**17)
        chosen = np.concatenate([chosen, voxels[rng.random(len(voxels), np.float32) < flat[voxels]]])
    index = np.stack(np.unravel_index(chosen[:NUM_LOBULES], SHAPE), axis=-1)
    xi, e, z = ((index + rng.random(index.shape)) / SHAPE * (1, 2, 2) - (0, 1, 1)).T
    radius = np.sqrt(np.maximum(1 - xi**2, 0))
    return np.stack([xi, e * radius, z * radius], axis=-1)


def _ducts(rng: np.random.Generator) -> tuple[_Walks, _Walks]:
    """Ducts fan out from the nipple; branches leave them on the way."""
    count = int(rng.integers(8, 14))
    angle = 2 * np.pi * (np.arange(count) + rng.uniform(-0.3, 0.3, count)) / count
    spread = rng.uniform(0.05, 0.75, count)
    heading = np.stack([-np.ones(count), spread * np.cos(angle), spread * np.sin(angle)], axis=-1)
    start = np.array([0.97, 0.0, 0.0]) + 0.04 * heading * (0, 1, 1)
    ducts = _walk(rng, start, heading, steps=np.full(count, 90), bend=0.03)
    parent = np.repeat(np.arange(count), rng.integers(2, 5, count))
    at = rng.integers(15, 70, len(parent))
    aside = ducts.headings[parent, at] + 0.6 * rng.standard_normal((len(parent), 3))
    return ducts, _walk(rng, ducts.points[parent, at], aside, steps=np.full(len(parent), 55), bend=0.045)


def _ligaments(rng: np.random.Generator) -> _Walks:
    count = int(rng.integers(110, 170))
    start = _in_half_ball(rng, count)
    heading = rng.standard_normal((count, 3)) + np.array([0.5, 0, 0])
    return _walk(rng, start, heading, steps=rng.integers(18, 60, count), bend=0.05)


def _vessels(rng: np.random.Generator) -> _Walks:
    """Vessels run below the skin from the chest wall forward."""
    count = int(rng.integers(2, 5))
    angle = rng.uniform(0, 2 * np.pi, count)
    start = 0.86 * np.stack([np.full(count, 0.08), np.cos(angle), np.sin(angle)], axis=-1)
    heading = np.stack([np.ones(count), -0.35 * np.cos(angle), -0.35 * np.sin(angle)], axis=-1)
    return _walk(rng, start, heading, steps=np.full(count, 110), bend=0.04)


def _in_half_ball(rng: np.random.Generator, count: int) -> np.ndarray:
    direction = rng.standard_normal((count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    points = direction * 0.97 * rng.random((count, 1)) ** (1 / 3)
    points[:, 0] = np.abs(points[:, 0])
    return points


def _walk(
    rng: np.random.Generator, start: np.ndarray, heading: np.ndarray, *, steps: np.ndarray, bend: float
) -> _Walks:
    """Walk from each start (curve, 3); every step turns the heading by Gaussian noise of size `bend`, cumulated."""
    longest = int(steps.max())
    heading = heading / np.linalg.norm(heading, axis=1, keepdims=True)
    turns = bend * np.cumsum(rng.standard_normal((len(start), longest, 3)), axis=1)
    headings = heading[:, None] + turns  # (curve, step, 3)
    headings /= np.linalg.norm(headings, axis=2, keepdims=True)
    points = start[:, None] + _STEP * np.cumsum(headings, axis=1)
    inside = (np.linalg.norm(points, axis=2) < 0.985) & (points[..., 0] > 0)
    kept = np.logical_and.accumulate(inside, axis=1) & (np.arange(longest) < steps[:, None])
    return _Walks(points=points, headings=headings, kept=kept)
