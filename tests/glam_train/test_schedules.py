import math
from itertools import pairwise

import pytest

from glam_train.pretraining.schedules import warmup_cosine

RULE = {"steps": 40_000, "warmup_steps": 4_000, "peak": 4e-5, "floor": 1e-8}


def test_the_first_update_runs_at_the_floor_and_the_end_of_warmup_at_the_peak():
    assert warmup_cosine(0, **RULE) == 1e-8
    assert warmup_cosine(4_000, **RULE) == 4e-5


def test_half_of_the_warmup_is_half_way():
    assert warmup_cosine(2_000, **RULE) == pytest.approx((4e-5 + 1e-8) / 2)


def test_after_warmup_it_is_the_released_cosine():
    expected = 1e-8 + (4e-5 - 1e-8) * (1 + math.cos(math.pi * 9_000 / 36_000)) / 2
    assert warmup_cosine(13_000, **RULE) == pytest.approx(expected, rel=1e-12)


def test_it_never_rises_after_warmup():
    rates = [warmup_cosine(step, **RULE) for step in range(4_000, 40_000, 500)]
    assert all(later < earlier for earlier, later in pairwise(rates))
