import numpy as np
import pytest

from glam.calibrate import Calibration, calibration_from_json, temperature
from glam.zeroshot import softmax

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
