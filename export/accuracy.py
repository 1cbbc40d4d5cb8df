"""What a variant of a bundle's graphs changes in its answers: on real files, the golden files, and phantoms.

A phantom figure says nothing about patients.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from glam.findings import InputError
from glam.metrics import MetricError, auc, hit_at, macro_auc
from glam.pair import PreparedBreast, prepare_breast
from glam.phantom import PhantomOptions, view_of
from glam.phantom.exam import draw_exam
from glam.phantom.trial import HELD_OUT_SEED, BreastResult, breast_result
from glam.predict import Predictor
from glam.prediction import Prediction
from glam.view import VIEW_KEYS

from .parity import min_cosine


@dataclass(frozen=True, kw_only=True)
class Change:
    """A figure of the bundle's own graphs and of the variant. None: the phantoms do not hold what it takes."""

    portable: float | None
    variant: float | None

    @property
    def loss(self) -> float:
        """What the variant loses; 0 where nothing was measured."""
        return 0.0 if self.portable is None or self.variant is None else self.portable - self.variant


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """The worst agreement of answers, and figures beside those of the bundle's own graphs."""

    files: int
    """Real mammograms that were read."""
    files_cosine: float | None
    """Smallest cosine of an image's embedding over the real files. None: there were none."""
    golden_cosine: float
    phantom_breasts: int
    phantom_cosine: float
    probabilities_max_abs: float
    """Over all images."""
    attention_max_abs: float | None
    """Over all breasts with two views. None: the model does not compare them."""
    density_macro_auc: Change
    mass_auc: Change
    lesion_hit_at_1: Change
    """Both directions."""
    tissue_hit_at_1: Change


@dataclass(frozen=True, kw_only=True)
class _Answers:
    """What both graphs say of a set of breasts."""

    portable: list[Prediction]
    variant: list[Prediction]

    def cosine(self) -> float:
        """Return the smallest cosine of an image's embedding."""
        return min(
            min_cosine(mine.views[key].embedding[None], right.views[key].embedding[None])
            for mine, right in zip(self.variant, self.portable, strict=True)
            for key in right.views
        )

    def probabilities_error(self) -> float:
        """Return the largest difference of a view's probability."""
        return max(
            abs(probability - getattr(mine.views[key], task)[name])
            for mine, right in zip(self.variant, self.portable, strict=True)
            for key in right.views
            for task in ("birads", "density")
            for name, probability in getattr(right.views[key], task).items()
        )

    def attention_errors(self) -> list[float]:
        """Return the largest difference of an attention weight of every map."""
        return [
            float(np.abs(getattr(mine.attention, name) - getattr(right.attention, name)).max())
            for mine, right in zip(self.variant, self.portable, strict=True)
            if right.attention is not None
            for name in ("cc_to_mlo", "mlo_to_cc")
        ]


def measure_accuracy(
    portable: Predictor, variant: Predictor, *, files: Sequence[Path], num_exams: int, seed: int = HELD_OUT_SEED
) -> Accuracy:
    """Compare a variant with the bundle's own graphs on real `files`, the golden files and `num_exams` phantom exams.

    ValueError for a file that cannot be read.
    """
    frame = portable.bundle.model.frame
    real = _ask(portable, variant, (_lone(portable, path) for path in files))
    views = [portable.read(portable.bundle.folder / "golden" / name) for name in ("cc.dcm", "mlo.dcm")]
    golden = _ask(portable, variant, [prepare_breast(frame, *views)])
    drawn = [(exam, pair) for exam in range(num_exams) for pair in _breasts(seed, exam)]
    prepared = (prepare_breast(frame, view_of(pair.cc, frame), view_of(pair.mlo, frame)) for _, pair in drawn)
    phantoms = _ask(portable, variant, prepared)
    results = [
        [breast_result(portable.bundle, pair, said, exam=exam) for (exam, pair), said in zip(drawn, says, strict=True)]
        for says in (phantoms.portable, phantoms.variant)
    ]
    sets = [answers for answers in (real, golden, phantoms) if answers.portable]
    attention = [error for answers in sets for error in answers.attention_errors()]
    return Accuracy(
        files=len(files),
        files_cosine=real.cosine() if files else None,
        golden_cosine=golden.cosine(),
        phantom_breasts=len(drawn),
        phantom_cosine=phantoms.cosine() if drawn else golden.cosine(),
        probabilities_max_abs=max(answers.probabilities_error() for answers in sets),
        attention_max_abs=float(np.max(attention)) if attention else None,
        density_macro_auc=_change(results, _density_auc),
        mass_auc=_change(results, _mass_auc),
        lesion_hit_at_1=_change(results, partial(_hit_at_1, kind="lesion")),
        tissue_hit_at_1=_change(results, partial(_hit_at_1, kind="tissue")),
    )


def _breasts(seed: int, exam: int) -> Iterable:
    return draw_exam(seed, exam, PhantomOptions()).breasts.values()


def _lone(predictor: Predictor, path: Path) -> PreparedBreast:
    try:
        view = predictor.read(path)
        lone = {"CC": (view, None), "MLO": (None, view)}[view.view]
        return prepare_breast(predictor.bundle.model.frame, *lone)
    except InputError as error:
        raise ValueError(f"{path} cannot be used ({error}): leave it out of --files") from None


def _ask(portable: Predictor, variant: Predictor, breasts: Iterable[PreparedBreast]) -> _Answers:
    answers = _Answers(portable=[], variant=[])
    for breast in breasts:
        answers.portable.append(portable.answer(breast))
        answers.variant.append(variant.answer(breast))
    return answers


def _change(results: list[list[BreastResult]], figure: Callable[[list[BreastResult]], float]) -> Change:
    """Return a figure of both graphs."""
    try:
        portable, variant = map(figure, results)
    except MetricError:
        return Change(portable=None, variant=None)
    return Change(portable=portable, variant=variant)


def _density_auc(breasts: list[BreastResult]) -> float:
    if not breasts:
        raise MetricError("no breasts")
    labels = np.array(["abcd".index(result.density) for result in breasts])
    return macro_auc(labels, np.stack([result.density_probabilities for result in breasts]))


def _mass_auc(breasts: list[BreastResult]) -> float:
    masses = np.array([result.has_mass for result in breasts], bool)
    return auc(masses, np.array([result.mass_probability for result in breasts]))


def _hit_at_1(breasts: list[BreastResult], *, kind: str) -> float:
    asked = [result.queries[kind, view] for result in breasts for view in VIEW_KEYS if result.queries]
    if not any(len(queries.true_rows) for queries in asked):
        raise MetricError("no points")
    return float(np.concatenate([hit_at(queries.scores, queries.true_rows, 1) for queries in asked]).mean())
