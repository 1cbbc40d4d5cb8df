"""The gate of an export: what the written graphs answer, against torch on the same seeded inputs."""

from dataclasses import asdict, dataclass

import numpy as np
import torch

from glam.config import ModelConfig
from glam.model.glam import Glam
from glam.runtime import Runtime

BATCHES = (1, 3)
MIN_COSINE = 0.99999
MAX_ATTENTION_ERROR = 1e-4
MAX_PATCH_ERROR = 1e-4
"""Of LayerNormed patches, whose values are about one."""
_BLOBS = 7


class ParityError(ValueError):
    """The exported graphs do not answer as torch does."""


@dataclass(frozen=True, kw_only=True)
class Parity:
    """The worst agreement over all inputs."""

    image_cosine: float
    text_cosine: float
    patches_max_abs: float
    attention_max_abs: float

    def check(self) -> None:
        """Raise a ParityError that names every number beyond its limit; NaN is beyond."""
        holds = {
            "image_cosine": self.image_cosine >= MIN_COSINE,
            "text_cosine": self.text_cosine >= MIN_COSINE,
            "patches_max_abs": self.patches_max_abs <= MAX_PATCH_ERROR,
            "attention_max_abs": self.attention_max_abs <= MAX_ATTENTION_ERROR,
        }
        failures = [f"{name} is {value:.6g}" for name, value in asdict(self).items() if not holds[name]]
        if failures:
            limits = f"cosine >= {MIN_COSINE}, patches <= {MAX_PATCH_ERROR:g}, attention <= {MAX_ATTENTION_ERROR:g}"
            raise ParityError(f"the exported graphs do not answer as torch does: {', '.join(failures)} ({limits})")


@torch.inference_mode()
def measure_parity(model: Glam, runtime: Runtime, *, seed: int = 0) -> Parity:
    """Compare a runtime with the model in evaluation mode, at every batch size of BATCHES."""
    rng = np.random.default_rng(seed)
    config = model.eval().config
    views, texts = [], []
    for batch in BATCHES:
        cc, mlo = (seeded_images(rng, batch, config.vision.image_size) for _ in range(2))
        views.append(_compare_pair(model, runtime, cc, mlo))
        texts.append(_compare_texts(model, runtime, *seeded_texts(rng, batch, config)))
    image_cosine, patches_max_abs, attention_max_abs = np.array(views).T
    return Parity(
        image_cosine=float(image_cosine.min()),
        text_cosine=float(np.min(texts)),
        patches_max_abs=float(patches_max_abs.max()),
        attention_max_abs=float(attention_max_abs.max()),
    )


def seeded_images(rng: np.random.Generator, num_images: int, size: int) -> np.ndarray:
    """Return images of soft blobs, no two alike: (num_images, 1, size, size) float32 in [0, 1]."""
    steps = np.linspace(0, _BLOBS - 1, size)
    tents = np.clip(1 - np.abs(steps[:, None] - np.arange(_BLOBS)), 0, None)  # (size, blob)
    blobs = rng.random((num_images, 1, _BLOBS, _BLOBS))
    return np.einsum("yb,nkbc,xc->nkyx", tents, blobs, tents).astype(np.float32)


def seeded_texts(rng: np.random.Generator, num_texts: int, config: ModelConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return token ids and mask of texts of unlike lengths, the longest of `max_tokens`: (num_texts, token) int64."""
    lengths = rng.integers(2, config.text.max_tokens, size=num_texts, endpoint=True)
    lengths[-1] = config.text.max_tokens
    mask = np.arange(config.text.max_tokens) < lengths[:, None]
    token_ids = rng.integers(config.text.vocab_size, size=mask.shape)
    return np.where(mask, token_ids, 0), mask.astype(np.int64)


def _compare_pair(model: Glam, runtime: Runtime, cc: np.ndarray, mlo: np.ndarray) -> tuple[float, float, float]:
    """Return the cosine of the embeddings, and the errors of the patches and of every map."""
    features_cc, features_mlo = model.vision(torch.from_numpy(cc)), model.vision(torch.from_numpy(mlo))
    cosines, patch_errors = [], []
    for images, features in ((cc, features_cc), (mlo, features_mlo)):
        answer = runtime.vision(images)
        cosines.append(_min_cosine(answer.embedding, model.embed_view(features).numpy()))
        patch_errors.append(np.abs(answer.patches - features.patches.numpy()).max())
    expected = model.align(features_cc.patches, features_mlo.patches)
    maps = runtime.align(features_cc.patches.numpy(), features_mlo.patches.numpy())
    map_errors = [np.abs(value - getattr(expected, name).numpy()).max() for name, value in maps._asdict().items()]
    return float(np.min(cosines)), float(np.max(patch_errors)), float(np.max(map_errors))


def _compare_texts(model: Glam, runtime: Runtime, token_ids: np.ndarray, mask: np.ndarray) -> float:
    expected = model.embed_text(torch.from_numpy(token_ids), torch.from_numpy(mask))
    return _min_cosine(runtime.text(token_ids, mask), expected.numpy())


def _min_cosine(embeddings: np.ndarray, expected: np.ndarray) -> float:
    """Return the smallest cosine between (n, dim) vectors, of whatever length."""
    lengths = np.linalg.norm(embeddings, axis=1) * np.linalg.norm(expected, axis=1)
    return float((np.sum(embeddings * expected, axis=1, dtype=np.float64) / lengths).min())
