"""Unit vectors of images and classes -> probabilities: the one zero-shot rule of library, server and benchmark."""

import numpy as np


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., dim) brought to length 1; ValueError where one has no direction."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if not (np.isfinite(norms) & (norms > 0)).all():
        raise ValueError("a vector of zeros or of no numbers has no direction")
    return vectors / norms


def breast_embedding(view_embeddings: np.ndarray) -> np.ndarray:
    """Mean of the views' unit embeddings (..., view, dim), brought to length 1: (..., dim)."""
    return unit(view_embeddings.mean(axis=-2))


def class_probabilities(image_embedding: np.ndarray, class_vectors: np.ndarray, scale: float) -> np.ndarray:
    """Softmax over classes of scale times cosine: unit (n, dim) and (class, dim) -> (n, class) float64."""
    return softmax(scale * (image_embedding.astype(np.float64) @ class_vectors.astype(np.float64).T))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)
