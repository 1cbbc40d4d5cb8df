import numpy as np
import pytest

from glam.zeroshot import (
    Calibration,
    breast_embedding,
    calibration_from_json,
    class_probabilities,
    softmax,
    temperature,
    unit,
)


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


LOGITS = np.random.default_rng(0).normal(size=(6, 3)) * 4


def test_temperature_divides_the_logits():
    assert np.allclose(temperature(2.5, num_classes=3).apply(softmax(LOGITS)), softmax(LOGITS / 2.5))


def test_temperature_of_one_changes_nothing():
    assert np.allclose(temperature(1, num_classes=3).apply(softmax(LOGITS)), softmax(LOGITS))


def test_bias_moves_the_odds_of_a_class():
    before = softmax(LOGITS)
    after = Calibration(scale=(1, 1, 1), bias=(0, 0, np.log(3))).apply(before)
    assert np.allclose(after[:, 2] / after[:, 0], 3 * before[:, 2] / before[:, 0])


def test_a_probability_of_zero_stays_finite():
    calibrated = temperature(2, num_classes=2).apply(np.array([1.0, 0.0]))
    assert np.isfinite(calibrated).all()
    assert np.isclose(calibrated.sum(), 1)


def test_numbers_survive_the_bundle():
    calibration = Calibration(scale=(0.5, 2.0), bias=(0.0, -1.0))
    assert calibration_from_json(calibration.as_json(), num_classes=2) == calibration
    assert calibration_from_json({"temperature": 2}, num_classes=2) == temperature(2, num_classes=2)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"temperature": 0}, "not positive"),
        ({"temperature": float("nan")}, "not positive"),
        ({"slope": 1}, "not: slope"),
        ({"scale": [1, 1], "bias": [0, 0]}, "of 2 classes cannot serve 3"),
        ({"scale": [1, 1, 1], "bias": [0]}, "not 3 and 1"),
        ({"scale": [1, -1, 1], "bias": [0, 0, 0]}, "positive"),
        ({"scale": [1, 1, 1], "bias": [0, 0, float("inf")]}, "finite"),
    ],
)
def test_numbers_that_calibrate_nothing_are_refused(data, message):
    with pytest.raises(ValueError, match=message):
        calibration_from_json(data, num_classes=3)


def test_other_classes_are_refused():
    with pytest.raises(ValueError, match="4 classes meet a calibration of 3"):
        temperature(1, num_classes=3).apply(np.full(4, 0.25))
