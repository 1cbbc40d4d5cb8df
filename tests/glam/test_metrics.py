import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glam.metrics import (
    MetricError,
    PositionPrior,
    auc,
    balanced_accuracy,
    bootstrap_interval,
    hit_at,
    macro_auc,
)


def naive_auc(labels, scores):
    positives = [score for label, score in zip(labels, scores, strict=True) if label]
    negatives = [score for label, score in zip(labels, scores, strict=True) if not label]
    pairs = list(itertools.product(positives, negatives))
    return sum((a > b) + 0.5 * (a == b) for a, b in pairs) / len(pairs)


def test_balanced_accuracy_is_the_mean_recall():
    assert balanced_accuracy(np.array([0, 0, 0, 0, 1, 2]), np.array([0, 0, 0, 1, 1, 0])) == pytest.approx(1.75 / 3)


def test_balanced_accuracy_leaves_out_classes_that_do_not_occur():
    assert balanced_accuracy(np.array([1, 1]), np.array([1, 2])) == 0.5
    with pytest.raises(MetricError):
        balanced_accuracy(np.array([]), np.array([]))


def test_auc_by_hand():
    assert auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])) == 0.75
    assert auc(np.array([0, 1]), np.array([3.0, 3.0])) == 0.5


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=2, max_size=30))
@settings(max_examples=100, deadline=None)
def test_auc_equals_the_count_over_all_pairs_with_ties(rows):
    labels, scores = map(np.array, zip(*rows, strict=True))
    if labels.all() or not labels.any():
        with pytest.raises(MetricError, match="both classes"):
            auc(labels, scores)
    else:
        assert auc(labels, scores) == pytest.approx(naive_auc(labels, scores))
        assert auc(labels, scores) == pytest.approx(1 - auc(labels, -scores))


def test_auc_refuses_scores_that_are_no_numbers():
    with pytest.raises(MetricError, match="no numbers"):
        auc(np.array([0, 1]), np.array([0.0, np.nan]))


def test_macro_auc_is_the_mean_of_one_against_the_rest():
    rng = np.random.default_rng(0)
    labels, probabilities = rng.permutation(np.arange(40) % 3), rng.dirichlet(np.ones(3), size=40)
    expected = np.mean([naive_auc(labels == index, probabilities[:, index]) for index in range(3)])
    assert macro_auc(labels, probabilities) == pytest.approx(expected)
    assert macro_auc(labels, np.eye(3)[labels]) == 1


def test_macro_auc_names_absent_classes_and_refuses_others():
    with pytest.raises(MetricError, match=r"absent: \[1\]"):
        macro_auc(np.array([0, 2]), np.eye(3)[[0, 2]])
    with pytest.raises(MetricError, match="no other"):
        macro_auc(np.array([0, 1, 2]), np.eye(2)[[0, 1, 0]])


def test_bootstrap_interval_holds_the_mean_as_the_normal_law_says():
    values = np.random.default_rng(0).normal(size=400)
    interval = bootstrap_interval(np.mean, values, seed=1)
    half = 1.96 * values.std() / 20
    assert interval.value == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.02)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.02)
    assert interval.num_used == 2000


def test_bootstrap_takes_whole_groups():
    groups = np.repeat(["a", "b", "c"], [1, 2, 4])
    values = np.repeat([0.0, 1.0, 2.0], [1, 2, 4])
    seen = []

    def statistic(picked, names):
        if len(picked) != 7 or not np.array_equal(picked, values):
            seen.append([int((names == name).sum()) % size for name, size in (("a", 1), ("b", 2), ("c", 4))])
        return float(picked.mean())

    bootstrap_interval(statistic, values, groups, groups=groups, seed=0, num_resamples=50)
    assert seen
    assert all(remainder == [0, 0, 0] for remainder in seen)


def test_twice_the_rows_of_the_same_patients_do_not_narrow_the_interval():
    rng = np.random.default_rng(0)
    values, patients = rng.normal(size=200), np.arange(200)
    once = bootstrap_interval(np.mean, values, groups=patients, seed=3)
    twice = bootstrap_interval(np.mean, np.tile(values, 2), groups=np.tile(patients, 2), seed=3)
    assert (once.high - once.low) == pytest.approx(twice.high - twice.low)


def test_bootstrap_repeats_with_its_seed():
    values = np.random.default_rng(0).normal(size=50)
    assert bootstrap_interval(np.mean, values, seed=5) == bootstrap_interval(np.mean, values, seed=5)
    assert bootstrap_interval(np.mean, values, seed=5) != bootstrap_interval(np.mean, values, seed=6)


def test_resamples_that_lack_a_class_are_left_out_and_too_many_refuse_the_figure():
    labels, scores = np.array([0, 0, 0, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.6, 0.5, 0.7])
    assert 1000 < bootstrap_interval(auc, labels, scores, seed=0).num_used < 2000
    with pytest.raises(MetricError, match="too few of a class"):
        bootstrap_interval(macro_auc, np.arange(3), np.eye(3), seed=0)


def test_two_thousand_resamples_of_a_thousand_take_seconds():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(2, size=1000), rng.normal(size=1000)
    start = time.process_time()
    bootstrap_interval(auc, labels, scores, groups=np.arange(1000) // 2, seed=0)
    assert time.process_time() - start < 10


def test_hit_is_the_true_row_among_the_best():
    scores = np.array([[0.1, 0.5, 0.4], [0.1, 0.5, 0.4], [0.1, 0.5, 0.4]])
    true = np.array([0, 1, 2])
    assert hit_at(scores, true, 1).tolist() == [0, 1, 0]
    assert hit_at(scores, true, 2).tolist() == [0, 1, 1]
    assert hit_at(scores, true, 3).tolist() == [1, 1, 1]


def test_equal_scores_hit_as_often_as_lots_would():
    flat = np.full((1, 9), 1 / 9)
    assert hit_at(flat, np.array([0]), 1).tolist() == [pytest.approx(1 / 9)]
    assert hit_at(flat, np.array([8]), 3).tolist() == [pytest.approx(3 / 9)]
    assert hit_at(np.array([[2.0, 1.0, 1.0, 0.0]]), np.array([1]), 2).tolist() == [0.5]
    with pytest.raises(MetricError, match="no numbers"):
        hit_at(np.array([[np.nan, 1.0]]), np.array([1]), 1)


def test_position_prior_predicts_the_most_frequent_row_of_a_cell():
    cells = np.array([[0, 0]] * 5 + [[1, 2]] * 3)
    rows = np.array([2, 2, 2, 1, 0, 0, 0, 1])
    prior = PositionPrior.fit(cells, rows, side=3)
    assert prior.row_scores(np.array([[0, 0], [1, 2]])).argmax(axis=1).tolist() == [2, 0]
    assert np.allclose(prior.probabilities.sum(axis=-1), 1)


def test_position_prior_answers_unseen_cells_for_their_row_then_for_all():
    cells = np.array([[0, 0]] * 6 + [[1, 0]] * 9)
    rows = np.array([2] * 6 + [1] * 9)
    prior = PositionPrior.fit(cells, rows, side=3)
    unseen = prior.row_scores(np.array([[0, 2], [2, 2]]))
    assert unseen.argmax(axis=1).tolist() == [2, 1]
    assert unseen[1, 1] > unseen[1, 2] > unseen[1, 0] > 0


def test_position_prior_needs_smoothing():
    with pytest.raises(ValueError, match="without an answer"):
        PositionPrior.fit(np.array([[0, 0]]), np.array([0]), side=3, smoothing=0)


def test_position_prior_reaches_what_position_alone_can_on_new_points():
    rng = np.random.default_rng(0)
    cells = rng.integers(9, size=(40_000, 2))
    rows = np.clip(cells[:, 0] + rng.choice([-1, 0, 0, 1], size=40_000), 0, 8)
    prior = PositionPrior.fit(cells[:30_000], rows[:30_000], side=9)
    hits = hit_at(prior.row_scores(cells[30_000:]), rows[30_000:], 1).mean()
    best = np.where(np.isin(cells[30_000:, 0], [0, 8]), 0.75, 0.5).mean()
    assert hits == pytest.approx(best, abs=0.02)
    assert hit_at(prior.row_scores(cells[30_000:]), rows[30_000:], 3).mean() == 1
