"""Learning rates: pure functions of the step."""

import math


def warmup_cosine(step: int, *, steps: int, warmup_steps: int, peak: float, floor: float) -> float:
    """Learning rate of update `step` in 0 .. steps - 1: linear from floor to peak, then half a cosine back to floor.

    The first update runs at `floor`, as in the released code (`lr_schedule` of its golden vectors).
    """
    if step < warmup_steps:
        return floor + (peak - floor) * step / warmup_steps
    progress = (step - warmup_steps) / (steps - warmup_steps)
    return floor + (peak - floor) * (1 + math.cos(math.pi * progress)) / 2
