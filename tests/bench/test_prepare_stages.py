from functools import partial

import pytest

from bench.prepare_stages import STAGES, fastest
from glam.config import FrameConfig
from glam.phantom import draw_pair, view_of
from glam.prepare import prepare

CONFIG = FrameConfig()


@pytest.mark.parametrize("has_muscle", [False, True])
def test_every_stage_has_its_time_and_none_counts_twice(has_muscle: bool) -> None:
    pair = draw_pair(1)
    view = view_of(pair.mlo if has_muscle else pair.cc, CONFIG)
    took, timings = fastest(partial(prepare, view, CONFIG), rounds=1)
    missing = {stage for stage, function in STAGES.items() if not timings.calls[function]}
    assert missing == (set() if has_muscle else {"line of the muscle", "mask of the muscle"})
    assert 0.5 * took < sum(timings.seconds[function] for function in STAGES.values()) <= took
