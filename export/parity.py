"""The gate of an export: what written graphs answer, against torch or other graphs on the same seeded inputs."""

from dataclasses import asdict, dataclass

import numpy as np

from glam.config import ModelConfig
from glam.input_size import InputSize, rows_and_cols
from glam.model.glam import Glam
from glam.model.torch_runtime import TorchRuntime
from glam.runtime import Runtime, VisionOut

BATCHES = (1, 3)
_BLOBS = 7


class ParityError(ValueError):
    """The exported graphs do not answer as they should."""


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far graphs may be from what they stand for."""

    min_cosine: float
    """Of embeddings, of images and of texts."""
    max_patch_error: float
    """Of LayerNormed patches, whose values are about one."""
    max_attention_error: float
    """Of the weights of both maps, on the same patches."""


EXACT = Tolerance(min_cosine=0.99999, max_patch_error=1e-4, max_attention_error=1e-4)
"""Other sums of the same numbers in float32."""


@dataclass(frozen=True, kw_only=True)
class Parity:
    """The worst agreement over all inputs."""

    image_cosine: float
    text_cosine: float
    patches_max_abs: float
    attention_max_abs: float | None
    """None: the model does not compare its views."""

    def check(self, tolerance: Tolerance = EXACT, *, of: str = "torch") -> None:
        """Raise a ParityError that names every number beyond its limit; NaN is beyond. `of`: what was compared with."""
        holds = {
            "image_cosine": self.image_cosine >= tolerance.min_cosine,
            "text_cosine": self.text_cosine >= tolerance.min_cosine,
            "patches_max_abs": self.patches_max_abs <= tolerance.max_patch_error,
            "attention_max_abs": self.attention_max_abs is None
            or self.attention_max_abs <= tolerance.max_attention_error,
        }
        failures = [f"{name} is {value:.6g}" for name, value in asdict(self).items() if not holds[name]]
        if failures:
            limits = (
                f"cosine >= {tolerance.min_cosine}, patches <= {tolerance.max_patch_error:g},"
                f" attention <= {tolerance.max_attention_error:g}"
            )
            raise ParityError(f"the exported graphs do not answer as {of} does: {', '.join(failures)} ({limits})")


def measure_parity(model: Glam, runtime: Runtime, *, seed: int = 0) -> Parity:
    """Compare a runtime with the model in evaluation mode, at every batch size of BATCHES."""
    return compare_runtimes(TorchRuntime(model), runtime, model.config, seed=seed)


def compare_runtimes(expected: Runtime, runtime: Runtime, config: ModelConfig, *, seed: int = 0) -> Parity:
    """Compare a runtime with the one it stands for, at every batch size of BATCHES.

    ParityError where one of them compares views and the other does not.
    """
    if runtime.compares_views != expected.compares_views:
        raise ParityError("the graphs do not compare views as the model does: one has an alignment and the other none")
    rng = np.random.default_rng(seed)
    views, texts, maps = [], [], []
    for batch in BATCHES:
        cc, mlo = (seeded_images(rng, batch, config.vision.image_size) for _ in range(2))
        features = [expected.vision(images) for images in (cc, mlo)]
        views += [_compare_view(*pair) for pair in zip(features, map(runtime.vision, (cc, mlo)), strict=True)]
        if expected.compares_views:
            maps.append(_maps_error(expected, runtime, *(view.patches for view in features)))
        tokens = seeded_texts(rng, batch, config)
        texts.append(min_cosine(runtime.text(*tokens), expected.text(*tokens)))
    image_cosine, patches_max_abs = np.array(views).T
    return Parity(
        image_cosine=float(image_cosine.min()),
        text_cosine=float(np.min(texts)),
        patches_max_abs=float(patches_max_abs.max()),
        attention_max_abs=float(np.max(maps)) if maps else None,
    )


def seeded_images(rng: np.random.Generator, num_images: int, size: InputSize) -> np.ndarray:
    """Return images of soft blobs, no two alike: (num_images, 1, row, col) float32 in [0, 1]."""
    down, across = (_tents(length) for length in rows_and_cols(size))
    blobs = rng.random((num_images, 1, _BLOBS, _BLOBS))
    return np.einsum("yb,nkbc,xc->nkyx", down, blobs, across).astype(np.float32)


def _tents(length: int) -> np.ndarray:
    """Return what each blob is at each pixel of an axis: (length, blob)."""
    steps = np.linspace(0, _BLOBS - 1, length)
    return np.clip(1 - np.abs(steps[:, None] - np.arange(_BLOBS)), 0, None)


def seeded_texts(rng: np.random.Generator, num_texts: int, config: ModelConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return token ids and mask of texts of unlike lengths, the longest of `max_tokens`: (num_texts, token) int64."""
    lengths = rng.integers(2, config.text.max_tokens, size=num_texts, endpoint=True)
    lengths[-1] = config.text.max_tokens
    mask = np.arange(config.text.max_tokens) < lengths[:, None]
    token_ids = rng.integers(config.text.vocab_size, size=mask.shape)
    return np.where(mask, token_ids, 0), mask.astype(np.int64)


def min_cosine(embeddings: np.ndarray, expected: np.ndarray) -> float:
    """Return the smallest cosine between (n, dim) vectors, of whatever length."""
    lengths = np.linalg.norm(embeddings, axis=1) * np.linalg.norm(expected, axis=1)
    return float((np.sum(embeddings * expected, axis=1, dtype=np.float64) / lengths).min())


def _compare_view(expected: VisionOut, answer: VisionOut) -> tuple[float, float]:
    """Return the smallest cosine of an embedding, and the largest error of a patch."""
    patch_error = float(np.abs(answer.patches - expected.patches).max())
    return min_cosine(answer.embedding, expected.embedding), patch_error


def _maps_error(expected: Runtime, runtime: Runtime, patches_cc: np.ndarray, patches_mlo: np.ndarray) -> float:
    """Return the largest error of a weight of any map; NaN where one is none."""
    maps = zip(runtime.align(patches_cc, patches_mlo), expected.align(patches_cc, patches_mlo), strict=True)
    return float(np.max([np.abs(mine - right).max() for mine, right in maps]))
