"""One to eight images of an exam: which of them are used, and what is said of each breast and of both together.

The order of the images does not matter. Nothing is dropped silently: an image is used, or left out with its reason.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import NamedTuple

import numpy as np

from glam.config import FrameConfig
from glam.exam_sides import LeftOut, prepare_side
from glam.findings import Finding, InputError, finding, input_error
from glam.mapping import Mapper
from glam.pair import PreparedBreast, differing_identities
from glam.prediction import Json, Prediction, SetMatch, far_apart, rounded
from glam.reading.read import read_view
from glam.reading.source import Source
from glam.view import VIEW_KEYS, Side, View, ViewName
from glam.words.sentences import check_prompts
from glam.zeroshot import mean_probabilities, unit

MAX_IMAGES = 8
SIDES: tuple[Side, Side] = ("L", "R")
SIDE_WORDS: Mapping[Side, str] = {"L": "left", "R": "right"}


class Used(NamedTuple):
    """An image that is used, and as what."""

    image: int
    laterality: Side
    view: ViewName


@dataclass(frozen=True, kw_only=True)
class PreparedExam:
    """The breasts of an exam as the model gets them, and what became of every image."""

    breasts: dict[Side, PreparedBreast]
    used: tuple[Used, ...]
    left_out: tuple[LeftOut, ...]
    findings: tuple[Finding, ...]
    """Of the exam; breasts and views carry their own."""

    @property
    def missing(self) -> tuple[str, ...]:
        """Views that were not sent or cannot be used, of "L_CC", "L_MLO", "R_CC", "R_MLO"."""
        used = {f"{entry.laterality}_{entry.view}" for entry in self.used}
        return tuple(name for side in SIDES for key in VIEW_KEYS if (name := f"{side}_{key.upper()}") not in used)


@dataclass(frozen=True, kw_only=True)
class ExamPrediction:
    """What the model says of an exam and of each breast in it."""

    breasts: dict[Side, Prediction]
    embedding: np.ndarray
    """(joint,): the mean of the breasts' embeddings, brought to length 1."""
    birads: dict[str, float]
    """Mean of the breasts' probabilities, whatever their own were made of; a breast counts once, of one view or two."""
    density: dict[str, float]
    prompt_set: SetMatch | None = None
    """The mean of the breasts' too."""
    used: tuple[Used, ...]
    left_out: tuple[LeftOut, ...]
    missing: tuple[str, ...]
    findings: tuple[Finding, ...]

    def as_json(self, include: Collection[str], *, withheld: Finding | None = None) -> Json:
        """Return JSON types; `include` and `withheld` as `Prediction.as_json` takes them, for every breast."""
        first = next(iter(self.breasts.values()))
        answer: Json = {
            "breasts": {side: breast.as_json(include, withheld=withheld) for side, breast in self.breasts.items()},
            "birads": rounded(self.birads),
            "density": rounded(self.density),
            "calibrated": first.calibrated,
            "aggregation": first.aggregation,
            "prompt_set": self.prompt_set and self.prompt_set.as_json(),
            "used": [entry._asdict() for entry in self.used],
            "left_out": [entry._asdict() for entry in self.left_out],
            "missing": list(self.missing),
            "findings": [entry.as_json() for entry in self.findings],
        }
        if "embedding" in include:
            answer["embedding"] = None if withheld else self.embedding.astype(np.float64).round(6).tolist()
        origin = {"bundle": first.bundle, "variant": first.variant, "prepare_sha": first.prepare_sha}
        return answer | origin | {"notice": first.notice}


def prepare_exam(
    config: FrameConfig,
    images: Sequence[Source | View],
    *,
    spacing_mm: float | None = None,
    prompts: Sequence[str] = (),
    mapper: Mapper = map,
) -> PreparedExam:
    """Read, choose and prepare the images of an exam, each routed by its own header.

    An image that cannot be read or prepared is left out and told; `mapper` may take several at a time. InputError: none
    or over MAX_IMAGES, mammograms of several patients or studies, or none that can be used (the fault of the first).
    """
    if not 0 < len(images) <= MAX_IMAGES:
        raise input_error("bad_images", "images", count=len(images), most=MAX_IMAGES)
    exam = prepare_images(config, images, spacing_mm=spacing_mm, prompts=prompts, mapper=mapper)
    if not exam.breasts:
        first = exam.left_out[0]
        raise input_error("no_usable_image", "images", problem=f"image {first.image}: {first.message}")
    return exam


def prepare_images(
    config: FrameConfig,
    images: Sequence[Source | View],
    *,
    spacing_mm: float | None = None,
    prompts: Sequence[str] = (),
    mapper: Mapper = map,
) -> PreparedExam:
    """Do as `prepare_exam` does with any number of images; there is no breast where none of them can be used.

    InputError: digital mammograms of several patients or studies.
    """
    texts = check_prompts(prompts)
    views: dict[int, View] = {}
    left_out: list[LeftOut] = []

    def read(source: Source | View) -> View | InputError:
        try:
            return source if isinstance(source, View) else read_view(source, config, spacing_mm=spacing_mm)
        except InputError as error:
            return error

    for image, view in enumerate(mapper(read, images), start=1):
        if isinstance(view, View):
            views[image] = view
        else:
            left_out.append(LeftOut(image, view.code, view.message))
    _refuse_several_exams(list(views.values()))
    breasts: dict[Side, PreparedBreast] = {}
    used: list[Used] = []
    for side in SIDES:
        of_side = {image: view for image, view in views.items() if view.laterality == side}
        breast = prepare_side(config, of_side, left_out, texts, mapper)
        if breast.prepared is not None:
            breasts[side] = breast.prepared
            used += [Used(image, side, view) for image, view in breast.images]
    left_out.sort()
    return PreparedExam(
        breasts=breasts,
        used=tuple(sorted(used)),
        left_out=tuple(left_out),
        findings=tuple(finding("lone_breast", absent=SIDE_WORDS[side]) for side in SIDES if side not in breasts),
    )


def exam_prediction(exam: PreparedExam, breasts: Mapping[Side, Prediction]) -> ExamPrediction:
    """Put together what the model says of the breasts of an exam."""
    predictions = list(breasts.values())
    return ExamPrediction(
        breasts=dict(breasts),
        embedding=unit(np.mean([prediction.embedding for prediction in predictions], axis=0)),
        birads=mean_probabilities([prediction.birads for prediction in predictions]),
        density=mean_probabilities([prediction.density for prediction in predictions]),
        prompt_set=_mean_of_sets([prediction.prompt_set for prediction in predictions]),
        used=exam.used,
        left_out=exam.left_out,
        missing=exam.missing,
        findings=(*exam.findings, *_sides_disagree(breasts)),
    )


def _mean_of_sets(matches: Sequence[SetMatch | None]) -> SetMatch | None:
    """Return the mean of what one prompt set says of breasts."""
    asked = [match for match in matches if match is not None]
    if not asked:
        return None
    tasks = {task: mean_probabilities([match.tasks[task] for match in asked]) for task in asked[0].tasks}
    return replace(asked[0], tasks=tasks)


def _refuse_several_exams(views: Sequence[View]) -> None:
    """Refuse digital mammograms that name several patients or studies; films often carry made-up identifiers."""
    for first, other in combinations([view for view in views if view.is_mg], 2):
        if names := differing_identities(first, other):
            raise input_error(f"{names[0]}_mismatch", "images")


def _sides_disagree(breasts: Mapping[Side, Prediction]) -> tuple[Finding, ...]:
    if len(breasts) < 2:
        return ()
    left, right = (breasts[side].density for side in SIDES)
    if not far_apart(left, right):
        return ()
    return (finding("sides_disagree", left=max(left, key=left.__getitem__), right=max(right, key=right.__getitem__)),)
