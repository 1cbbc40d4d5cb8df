"""What a bundle knows of phantoms nobody trained on, through the one inference path (docs/train.md).

A phantom figure says nothing about patients.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from glam.attention import OTHER
from glam.bundle import Bundle
from glam.correspondence import Queries, queries
from glam.frame import Frame, cells_of, frame_from_json, inside_square
from glam.metrics import Interval, MetricError, PositionPrior, auc, bootstrap_interval, hit_at, macro_auc
from glam.phantom import Pair, PhantomOptions, view_of
from glam.phantom.exam import draw_exam
from glam.phantom.options import HELD_OUT_SEED
from glam.predict import Predictor
from glam.prediction import Prediction
from glam.view import VIEW_KEYS, ViewKey
from glam.zeroshot import class_probabilities

Record = Mapping[str, Any]
"""What a prepared cache keeps of a phantom: its `frames` and its `points`, by view."""
POINT_KINDS = ("mass", "lesion", "tissue", "gland")
"""mass: centres of masses; lesion: of all findings; tissue: places drawn evenly in the breast; gland: those of them
where at least half of the tissue is gland."""


class Show(Protocol):
    """Show progress."""

    def __call__(self, done: Iterator[int], *, total: int) -> None:
        """Run an iterator of counts to its end."""
        ...


class BreastResult(NamedTuple):
    """What the model says of one breast and what is true of it."""

    exam: int
    density: str
    has_mass: bool
    density_probabilities: np.ndarray
    mass_probability: float
    queries: dict[tuple[str, ViewKey], Queries]
    """Empty: the model does not compare its views."""


@dataclass(frozen=True, kw_only=True)
class HitRate:
    """Share of places whose true row is among the first ones: of the model, of position alone, and their ratio."""

    model: Interval | None
    position_only: Interval | None
    ratio: Interval | None


@dataclass(frozen=True, kw_only=True)
class Hits:
    """Hit rates of one kind of points, both directions together."""

    points: int
    hit_at_1: HitRate
    hit_at_3: HitRate


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Figures with 95 % bootstrap intervals by exam; hits beside the best predictor that sees no image.

    None: a figure that so few exams do not define.
    """

    density_macro_auc: Interval | None
    mass_auc: Interval | None
    hits: dict[str, Hits] | None
    """By kind of points, a name of POINT_KINDS. None: the model does not compare its views."""
    num_breasts: int
    num_with_mass: int


def evaluate(predictor: Predictor, records: Sequence[Record], *, num_exams: int, show: Show, seed: int = 0) -> Figures:
    """Figures on the first `num_exams` held-out exams of the phantom's own mix, at the pixel pitch it writes files.

    `records`: those of the training phantoms, for the position-only predictor. `show` is given breasts done so far.
    """
    breasts: list[BreastResult] = []

    def done() -> Iterator[int]:
        for result in results(predictor, num_exams=num_exams, seed=HELD_OUT_SEED, options=PhantomOptions()):
            breasts.append(result)
            yield len(breasts)

    alignment = predictor.bundle.model.alignment
    show(done(), total=2 * num_exams)
    return figures(breasts, {} if alignment is None else fit_priors(records, side=alignment.side), seed=seed)


def results(predictor: Predictor, *, num_exams: int, seed: int, options: PhantomOptions) -> Iterator[BreastResult]:
    """Draw exams, answer for both breasts of each, and yield answer and truth."""
    frame = predictor.bundle.model.frame
    for exam in range(num_exams):
        for pair in draw_exam(seed, exam, options).breasts.values():
            prediction = predictor.predict(view_of(pair.cc, frame), view_of(pair.mlo, frame))
            yield breast_result(predictor.bundle, pair, prediction, exam=exam)


def breast_result(bundle: Bundle, pair: Pair, prediction: Prediction, *, exam: int) -> BreastResult:
    """Put what a bundle says of a phantom's breast beside the truth."""
    mass = class_probabilities(prediction.embedding[None], bundle.class_vectors("mass"), bundle.scale)[0]
    return BreastResult(
        exam=exam,
        density=pair.truth.density,
        has_mass=any(lesion.kind == "mass" for lesion in pair.truth.lesions),
        density_probabilities=np.array(list(prediction.density.values())),
        mass_probability=float(mass[-1]),
        queries=_queries(pair, prediction),
    )


def _queries(pair: Pair, prediction: Prediction) -> dict[tuple[str, ViewKey], Queries]:
    attention = prediction.attention
    if attention is None:
        return {}
    frames: dict[ViewKey, Frame] = {key: view.frame for key, view in prediction.views.items()}
    return {
        (kind, query): queries(attention, query, frames, points_of(pair, kind), grid=attention.grid)
        for kind in POINT_KINDS
        for query in VIEW_KEYS
    }


def points_of(pair: Pair, kind: str) -> dict[ViewKey, np.ndarray]:
    """The same places in both views, in stored pixels: (point, 2)."""
    truths: dict[ViewKey, Any] = {"cc": pair.truth.views["CC"], "mlo": pair.truth.views["MLO"]}
    if kind in ("tissue", "gland"):
        kept = pair.truth.tissue_gland >= (0.5 if kind == "gland" else 0.0)
        return {key: np.asarray(view.tissue)[kept] for key, view in truths.items()}
    kept_lesions = [kind == "lesion" or lesion.kind == kind for lesion in pair.truth.lesions]
    return {
        key: np.array([place.centre for place, keep in zip(view.lesions, kept_lesions, strict=True) if keep]).reshape(
            -1, 2
        )
        for key, view in truths.items()
    }


def fit_priors(records: Sequence[Record], *, side: int) -> dict[tuple[str, ViewKey], PositionPrior]:
    """The best position-only predictors of the training phantoms: for lesions and for tissue, from either view."""
    priors = {}
    for kind in ("lesion", "tissue"):
        for query in VIEW_KEYS:
            seen = [_seen(record, kind, query, side=side) for record in records]
            cells = np.concatenate([cells for cells, _ in seen])
            rows = np.concatenate([rows for _, rows in seen])
            priors[kind, query] = PositionPrior.fit(cells, rows, side=side)
    return priors


def _seen(record: Record, kind: str, query: ViewKey, *, side: int) -> tuple[np.ndarray, np.ndarray]:
    frames = {key: frame_from_json(data) for key, data in record["frames"].items()}
    points = {key: np.array(value, float).reshape(-1, 2) for key, value in record["points"][kind].items()}
    other = OTHER[query]
    kept = inside_square(points[query], frames[query]) & inside_square(points[other], frames[other])
    cells = cells_of(points[query][kept], frames[query], side)
    return cells, cells_of(points[other][kept], frames[other], side)[:, 0]


def figures(breasts: list[BreastResult], priors: dict[tuple[str, ViewKey], PositionPrior], *, seed: int) -> Figures:
    """Condense results into figures; hits of those kinds of points that were asked about."""
    exams = np.array([result.exam for result in breasts])
    interval = partial(_interval, seed=seed)
    density = np.array(["abcd".index(result.density) for result in breasts])
    probabilities = np.stack([result.density_probabilities for result in breasts])
    masses = np.array([result.has_mass for result in breasts])
    scores = np.array([result.mass_probability for result in breasts])
    asked = [kind for kind in POINT_KINDS if all((kind, view) in breasts[0].queries for view in VIEW_KEYS)]
    return Figures(
        density_macro_auc=interval(macro_auc, density, probabilities, groups=exams),
        mass_auc=interval(auc, masses, scores, groups=exams),
        hits={kind: _hits(breasts, exams, kind, priors, interval) for kind in asked} or None,
        num_breasts=len(breasts),
        num_with_mass=int(masses.sum()),
    )


def _hits(
    breasts: list[BreastResult],
    exams: np.ndarray,
    kind: str,
    priors: dict[tuple[str, ViewKey], PositionPrior],
    interval: Callable[..., Interval | None],
) -> Hits:
    """Return hit@1 and hit@3 of a kind of points, over both directions."""
    prior_kind = "lesion" if kind in ("lesion", "mass") else "tissue"
    ours, position, groups = [], [], []
    for query in VIEW_KEYS:
        for exam, result in zip(exams, breasts, strict=True):
            asked = result.queries[kind, query]
            ours.append(_hits_at_1_and_3(asked.scores, asked.true_rows))
            prior = priors[prior_kind, query].row_scores(asked.cells)
            position.append(_hits_at_1_and_3(prior, asked.true_rows))
            groups.append(np.full(len(asked.true_rows), exam))
    model, chance, group = np.concatenate(ours), np.concatenate(position), np.concatenate(groups)
    at_1, at_3 = (
        HitRate(
            model=interval(_mean, model[:, column], groups=group),
            position_only=interval(_mean, chance[:, column], groups=group),
            ratio=interval(_ratio, model[:, column], chance[:, column], groups=group),
        )
        for column in (0, 1)
    )
    return Hits(points=len(model), hit_at_1=at_1, hit_at_3=at_3)


def _hits_at_1_and_3(scores: np.ndarray, true_rows: np.ndarray) -> np.ndarray:
    return np.stack([hit_at(scores, true_rows, k) for k in (1, 3)], axis=1)


def _interval(statistic: Callable[..., float], *arrays: np.ndarray, groups: np.ndarray, seed: int) -> Interval | None:
    """Return a figure with its interval; None where the exams do not define it."""
    try:
        return bootstrap_interval(statistic, *arrays, groups=groups, seed=seed)
    except MetricError:
        return None


def _mean(values: np.ndarray) -> float:
    if not len(values):
        raise MetricError("a share of no places")
    return float(values.mean())


def _ratio(ours: np.ndarray, theirs: np.ndarray) -> float:
    if not theirs.any():
        raise MetricError("a ratio to a predictor that never hits")
    return float(ours.mean() / theirs.mean())
