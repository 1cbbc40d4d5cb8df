"""Figures of merit in numpy: balanced accuracy, AUC, bootstrap by patient, hits of cross-view maps and their chance."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class MetricError(ValueError):
    """A figure that these data do not define."""


class Interval(NamedTuple):
    """A figure and its bootstrap interval."""

    value: float
    low: float
    high: float
    num_used: int
    """Resamples that define the figure."""


def balanced_accuracy(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Mean recall over the classes that occur among the labels."""
    if not labels.size:
        raise MetricError("balanced accuracy of nothing")
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return float((np.bincount(classes, weights=labels == predictions) / counts).mean())


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Probability that a positive (label 1 or True) scores above a negative, a tie counting half."""
    if not np.isfinite(scores).all():
        raise MetricError("AUC of scores that are no numbers")
    positive = labels.astype(bool)
    num_positive = int(positive.sum())
    num_negative = positive.size - num_positive
    if not num_positive or not num_negative:
        raise MetricError("AUC needs both classes")
    _, order, counts = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[order]  # mean rank among equals, from 1
    return float((rank[positive].sum() - num_positive * (num_positive + 1) / 2) / (num_positive * num_negative))


def macro_auc(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean over classes of the AUC of one class against the rest: labels (n,) in 0..k-1, probabilities (n, k).

    Every class must occur: MetricError names those that do not.
    """
    num_classes = probabilities.shape[1]
    absent = sorted(set(range(num_classes)) - set(np.unique(labels).tolist()))
    if absent or labels.min() < 0 or labels.max() >= num_classes:
        raise MetricError(f"macro AUC needs labels of all {num_classes} classes and no other; absent: {absent}")
    return float(np.mean([auc(labels == index, probabilities[:, index]) for index in range(num_classes)]))


def bootstrap_interval(
    statistic: Callable[..., float],
    *arrays: np.ndarray,
    groups: np.ndarray | None = None,
    seed: int,
    num_resamples: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Percentile interval of statistic(*arrays) over resamples of whole groups (patients), or of rows without groups.

    A resample on which the statistic raises MetricError (a class is absent) is left out; when that is every second
    one, the figure itself is refused.
    """
    value = statistic(*arrays)
    rows, starts, sizes = _rows_by_group(np.arange(len(arrays[0])) if groups is None else groups)
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(num_resamples):
        drawn = rng.integers(len(sizes), size=len(sizes))
        picked = rows[_concatenated(starts[drawn], sizes[drawn])]
        try:
            values.append(statistic(*(array[picked] for array in arrays)))
        except MetricError:
            continue
    if len(values) * 2 <= num_resamples:
        raise MetricError(f"only {len(values)} of {num_resamples} resamples define the figure: too few of a class")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(value), float(low), float(high), len(values))


def hit_at(row_scores: np.ndarray, true_rows: np.ndarray, k: int) -> np.ndarray:
    """1 where the true row is among the k best of its scores, else 0: (n, side), (n,) -> (n,).

    Equal scores count as drawn by lot, so that a flat map scores k / side and not the luck of its first row.
    """
    if not np.isfinite(row_scores).all():
        raise MetricError("hits of scores that are no numbers")
    true = np.take_along_axis(row_scores, true_rows[:, None], axis=1)  # (n, 1)
    above = (row_scores > true).sum(axis=1)
    equal = (row_scores == true).sum(axis=1)  # the true row itself included
    return np.clip((k - above) / equal, 0, 1)


@dataclass(frozen=True)
class PositionPrior:
    """The best predictor that sees no image: how often each row is the true one, by the cell of the query.

    Fitted on training phantoms and scored on the others, it is the chance that a map has to beat.
    """

    probabilities: np.ndarray
    """(query row, query col, true row)"""

    @classmethod
    def fit(
        cls, query_cells: np.ndarray, true_rows: np.ndarray, *, side: int, smoothing: float = 1.0
    ) -> "PositionPrior":
        """Count true rows (n,) by query cell (n, 2), row and col.

        A cell is smoothed by `smoothing` observations spread as in its row of cells, that one by as many spread as in
        all cells, and those by as many spread evenly: a cell nobody saw answers for its row.
        """
        if smoothing <= 0:
            raise ValueError(f"smoothing {smoothing} leaves cells that nobody saw without an answer")
        counts = np.zeros((side, side, side))
        np.add.at(counts, (query_cells[:, 0], query_cells[:, 1], true_rows), 1)
        everywhere = _smoothed(counts.sum(axis=(0, 1)), np.full(side, 1 / side), smoothing)  # (true row)
        by_row = _smoothed(counts.sum(axis=1), everywhere, smoothing)  # (query row, true row)
        return cls(_smoothed(counts, by_row[:, None], smoothing))

    def row_scores(self, query_cells: np.ndarray) -> np.ndarray:
        """Probability of each row for query cells (n, 2): (n, side), to be ranked by `hit_at`."""
        return self.probabilities[query_cells[:, 0], query_cells[:, 1]]


def _smoothed(counts: np.ndarray, prior: np.ndarray, weight: float) -> np.ndarray:
    mixed = counts + weight * prior
    return mixed / mixed.sum(axis=-1, keepdims=True)


def _rows_by_group(groups: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows sorted by group, and where each group starts and how many rows it has."""
    _, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return np.argsort(index, kind="stable"), np.cumsum(sizes) - sizes, sizes


def _concatenated(starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Concatenation of range(start, start + size)."""
    shift = np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
    return np.arange(int(sizes.sum())) + shift
