import numpy as np
import pytest

from glam.zeroshot import breast_embedding, class_probabilities, softmax, unit


def test_probabilities_are_the_softmax_of_scaled_cosines():
    images, classes = np.array([[1.0, 0.0], [0.6, 0.8]]), np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    logits = 10 * np.array([[1.0, 0.0, -1.0], [0.6, 0.8, -0.6]])
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.allclose(class_probabilities(images, classes, 10.0), expected)


def test_a_huge_scale_does_not_overflow():
    probabilities = class_probabilities(np.array([[1.0, 0.0]], np.float32), np.eye(2, dtype=np.float32), 1e5)
    assert probabilities.tolist() == [[1.0, 0.0]]


def test_softmax_ignores_what_is_added_to_all():
    assert np.allclose(softmax(np.array([1.0, 2.0])), softmax(np.array([1001.0, 1002.0])))


def test_breast_is_the_unit_mean_of_its_views():
    assert np.allclose(breast_embedding(np.eye(2)), [np.sqrt(0.5)] * 2)
    assert np.allclose(breast_embedding(np.array([[0.0, 1.0]])), [0.0, 1.0])


def test_breasts_are_embedded_together_as_one_by_one():
    views = unit(np.random.default_rng(0).normal(size=(5, 2, 8)))
    assert np.allclose(breast_embedding(views), [breast_embedding(pair) for pair in views])


def test_views_that_cancel_out_have_no_embedding():
    with pytest.raises(ValueError, match="no direction"):
        breast_embedding(np.array([[1.0, 0.0], [-1.0, 0.0]]))
