import numpy as np
import pytest

from glam.view import View


@pytest.mark.parametrize("spacing_mm", [(0.001, 0.001), (50.0, 50.0), (0.05, 0.2), (float("nan"), 0.1)])
def test_a_view_made_by_hand_cannot_have_a_spacing_of_no_mammogram(spacing_mm: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="is that of no mammogram"):
        View(pixels=np.zeros((2, 2), np.uint16), view="CC", laterality="L", spacing_mm=spacing_mm)
