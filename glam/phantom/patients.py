"""The table of lengths and angles in patients that phantoms are set to match, and the same table of phantoms."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glam.phantom.landmarks import Lengths

SOURCE = (
    "the landmark tables of enescanerkan/deep-mammography-positioning (GitHub) on VinDr-Mammo: pectoral lines, nipples "
    "and spacings; statistics only, no label is copied"
)


@dataclass(frozen=True, kw_only=True)
class LengthTable:
    """Statistics over breasts: nipple to image edge (CC), nipple to pectoral line (MLO), and the muscle's angle."""

    breasts: int
    cc_mm: float
    """Mean length in CC."""
    mlo_mm: float
    """Mean length in MLO."""
    difference_mm: float
    """Mean of MLO minus CC."""
    difference_spread_mm: float
    """Standard deviation of MLO minus CC."""
    absolute_median_mm: float
    """Median of the absolute difference."""
    absolute_p90_mm: float
    """90th percentile of the absolute difference."""
    within_10_mm: float
    """Share of breasts whose absolute difference is at most 10 mm, which passes for good positioning."""
    ratio_p5: float
    """5th percentile of MLO over CC."""
    ratio_median: float
    ratio_p95: float
    muscle_deg: float
    """Mean angle between pectoral line and image edge."""
    muscle_spread_deg: float
    """Standard deviation of that angle."""
    muscle_p1_deg: float
    muscle_p99_deg: float


PATIENTS = LengthTable(
    breasts=1463,
    cc_mm=73.5,
    mlo_mm=77.0,
    difference_mm=3.5,
    difference_spread_mm=7.2,
    absolute_median_mm=5.0,
    absolute_p90_mm=13.1,
    within_10_mm=0.805,
    ratio_p5=0.90,
    ratio_median=1.05,
    ratio_p95=1.23,
    muscle_deg=22.0,
    muscle_spread_deg=6.1,
    muscle_p1_deg=8.8,
    muscle_p99_deg=36.8,
)
"""From `SOURCE`."""


def length_table(measured: Sequence[Lengths]) -> LengthTable:
    """Return the statistics of breasts, one or more."""
    cc, mlo, degrees = np.array(measured, float).reshape(-1, 3).T
    difference, ratio = mlo - cc, mlo / cc
    p5, median, p95 = np.percentile(ratio, (5, 50, 95)).tolist()
    absolute_median, absolute_p90 = np.percentile(np.abs(difference), (50, 90)).tolist()
    p1, p99 = np.percentile(degrees, (1, 99)).tolist()
    return LengthTable(
        breasts=len(measured),
        cc_mm=float(cc.mean()),
        mlo_mm=float(mlo.mean()),
        difference_mm=float(difference.mean()),
        difference_spread_mm=float(difference.std()),
        absolute_median_mm=absolute_median,
        absolute_p90_mm=absolute_p90,
        within_10_mm=float((np.abs(difference) <= 10).mean()),
        ratio_p5=p5,
        ratio_median=median,
        ratio_p95=p95,
        muscle_deg=float(degrees.mean()),
        muscle_spread_deg=float(degrees.std()),
        muscle_p1_deg=p1,
        muscle_p99_deg=p99,
    )
