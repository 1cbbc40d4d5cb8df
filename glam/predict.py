"""Views in, Prediction out: the one inference path of the server, the viewer, the cohort and `glam predict`.

It has two halves: `glam.engine` runs the model, an Interpreter says what its vectors mean. The server has the first in
its workers and the second where it reads files; a Predictor has both.
"""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from glam.bundle import Bundle
from glam.engine import BreastVectors, run_breasts
from glam.exam import ExamPrediction, PreparedExam, exam_prediction, prepare_exam
from glam.findings import Finding, finding, input_error
from glam.licence import SharingWarning
from glam.pair import PreparedBreast, prepare_breast, read_breast
from glam.prediction import (
    Aggregation,
    Prediction,
    PromptMatch,
    ViewPrediction,
    check_aggregation,
    far_apart,
)
from glam.prepare import ModelInput, prepare, prepare_sha
from glam.reading.parse import Source
from glam.reading.read import read_view
from glam.runtime import Runtime
from glam.view import VIEW_KEYS, View, ViewKey
from glam.words.tokens import Tokenizer, Tokens
from glam.zeroshot import breast_embedding, calibration_from_json, class_probabilities, mean_probabilities

PromptVectors = Mapping[str, np.ndarray]
"""Sentence -> its unit vector (joint,)."""


class Interpreter:
    """What a bundle's vectors mean: probabilities of its classes, and how well sentences fit. No runtime."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._class_vectors = {task: bundle.class_vectors(task) for task in bundle.classes}
        self._calibrations = {
            task: calibration_from_json(numbers, num_classes=len(bundle.classes[task]))
            for task, numbers in bundle.calibration.items()
        }
        reported = {"birads", "density"} & self._class_vectors.keys()
        self._calibrated = bool(reported) and reported <= self._calibrations.keys()
        self._prepare_sha = prepare_sha(bundle.model.frame)
        self._tokenizer: Tokenizer | None = None  # read when the first prompt comes

    def prediction(
        self,
        breast: PreparedBreast,
        vectors: BreastVectors,
        prompts: PromptVectors | None = None,
        *,
        aggregation: Aggregation = "probabilities",
    ) -> Prediction:
        """Return what the model says of a breast; `prompts` holds the vectors of `breast.prompts`."""
        embedding = breast_embedding(np.stack(list(vectors.embeddings.values())))
        views: dict[ViewKey, ViewPrediction] = {
            key: ViewPrediction(
                **vars(view),
                embedding=vectors.embeddings[key],
                birads=self.probabilities("birads", vectors.embeddings[key]),
                density=self.probabilities("density", vectors.embeddings[key]),
            )
            for key, view in breast.views.items()
        }
        means = {
            "birads": mean_probabilities([view.birads for view in views.values()]),
            "density": mean_probabilities([view.density for view in views.values()]),
        }
        if aggregation == "embeddings":
            means = {task: self.probabilities(task, embedding) for task in means}
        return Prediction(
            views=views,
            embedding=embedding,
            birads=means["birads"],
            density=means["density"],
            aggregation=aggregation,
            prompts=self._match(breast.prompts, prompts or {}, embedding),
            attention=vectors.attention,
            missing=tuple(key for key in VIEW_KEYS if key not in breast.views),
            findings=(*breast.findings, *_views_disagree(views)),
            bundle=self.bundle.sha256,
            prepare_sha=self._prepare_sha,
            variant=self.bundle.variant,
            calibrated=self._calibrated,
        )

    def probabilities(self, task: str, embedding: np.ndarray) -> dict[str, float]:
        """Zero-shot probabilities by class name, calibrated where the bundle can; empty where it knows no such task."""
        if task not in self._class_vectors:
            return {}
        probabilities = class_probabilities(embedding[None], self._class_vectors[task], self.bundle.scale)[0]
        if task in self._calibrations:
            probabilities = self._calibrations[task].apply(probabilities)
        return dict(zip(self.bundle.classes[task], probabilities.tolist(), strict=True))

    def tokens(self, sentences: Sequence[str]) -> Tokens:
        """Return the tokens of sentences; InputError for one that is too long for the model."""
        limit = self.bundle.model.text.max_tokens
        if (longest := max(map(self.tokenizer.length, sentences), default=0)) > limit:
            raise input_error("bad_prompt", "prompts", what=f"a prompt has {longest} tokens, the model takes {limit}")
        return self.tokenizer.encode(sentences, max_tokens=limit)

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the text tower."""
        self._tokenizer = self._tokenizer or self.bundle.tokenizer()
        return self._tokenizer

    def _match(self, prompts: Sequence[str], vectors: PromptVectors, embedding: np.ndarray) -> dict[str, PromptMatch]:
        if not prompts:
            return {}
        stacked = np.stack([vectors[text] for text in prompts])  # (prompt, joint)
        similarities = (stacked @ embedding).tolist()
        probabilities = class_probabilities(embedding[None], stacked, self.bundle.scale)[0].tolist()
        unknown = map(self.tokenizer.unknown_words, prompts)
        return dict(zip(prompts, map(PromptMatch, similarities, probabilities, unknown), strict=True))


class Predictor:
    """A bundle and the runtime that runs it.

    Where the licence keeps the bundle's embeddings on the machine, the first answer comes with a SharingWarning; not so
    with `withholds`: the caller leaves embeddings out of what it gives away (`glam.licence.withheld_embeddings`).
    """

    def __init__(self, bundle: Bundle, runtime: Runtime, *, withholds: bool = False) -> None:
        self.bundle = bundle
        self.runtime = runtime
        self.interpreter = Interpreter(bundle)
        self._warns = not (bundle.may_share or withholds)

    def prepare(self, view: View) -> ModelInput:
        """Square and Frame of a view, as this bundle's model wants them."""
        return prepare(view, self.bundle.model.frame)

    def read(
        self,
        source: Source,
        *,
        view: str | None = None,
        laterality: str | None = None,
        spacing_mm: float | None = None,
    ) -> View:
        """Read a file by this bundle's policies; arguments and errors are those of `glam.read_view`."""
        return read_view(source, self.bundle.model.frame, view=view, laterality=laterality, spacing_mm=spacing_mm)

    def predict(
        self,
        cc: Source | View | None = None,
        mlo: Source | View | None = None,
        *,
        laterality: str | None = None,
        spacing_mm: float | None = None,
        prompts: Sequence[str] = (),
        aggregation: Aggregation = "probabilities",
    ) -> Prediction:
        """Answer for one breast from its files (paths, bytes or open files), or from Views.

        `laterality` and `spacing_mm` fill what the headers lack. InputError names the view that cannot be used.
        `aggregation`: whether the probabilities of two views are averaged, or their embeddings.
        Where the embeddings must not leave the machine, a SharingWarning says so, once a Predictor.
        """
        check_aggregation(aggregation)
        config = self.bundle.model.frame
        views = read_breast({"cc": cc, "mlo": mlo}, config, laterality=laterality, spacing_mm=spacing_mm)
        breast = prepare_breast(config, views.get("cc"), views.get("mlo"), prompts=prompts)
        self._warn_of_sharing()
        return self._answer([breast], aggregation)[0]

    def predict_exam(
        self,
        images: Sequence[Source | View],
        *,
        spacing_mm: float | None = None,
        prompts: Sequence[str] = (),
        aggregation: Aggregation = "probabilities",
    ) -> ExamPrediction:
        """Answer for an exam from one to eight images in any order, each routed by its own header.

        What cannot be used is left out and told. InputError: no image can be used, or they are not of one exam.
        """
        check_aggregation(aggregation)
        exam = prepare_exam(self.bundle.model.frame, images, spacing_mm=spacing_mm, prompts=prompts)
        self._warn_of_sharing()
        return self._answer_exam(exam, aggregation)

    def answer(self, breast: PreparedBreast) -> Prediction:
        """Answer for a breast that `prepare_breast` returned; the same SharingWarning as of `predict`."""
        self._warn_of_sharing()
        return self._answer([breast], "probabilities")[0]

    def _warn_of_sharing(self) -> None:
        """Warn the caller of the method that calls this, the first time."""
        if not self._warns:
            return
        self._warns = False
        message = f"the licence of {self.bundle.name} keeps its embeddings on this machine (may_share is false)"
        warnings.warn(f"{message}: do not pass on what holds an embedding", SharingWarning, stacklevel=3)

    def _answer_exam(self, exam: PreparedExam, aggregation: Aggregation) -> ExamPrediction:
        predictions = self._answer(list(exam.breasts.values()), aggregation)
        return exam_prediction(exam, dict(zip(exam.breasts, predictions, strict=True)))

    def _answer(self, breasts: Sequence[PreparedBreast], aggregation: Aggregation) -> list[Prediction]:
        """Run the model on breasts that have the same prompts."""
        vectors = run_breasts(self.runtime, [breast.squares for breast in breasts])
        sentences = breasts[0].prompts
        prompts: PromptVectors = {}
        if sentences:
            tokens = self.interpreter.tokens(sentences)
            prompts = dict(zip(sentences, self.runtime.text(tokens.ids, tokens.mask), strict=True))
        return [
            self.interpreter.prediction(breast, out, prompts, aggregation=aggregation)
            for breast, out in zip(breasts, vectors, strict=True)
        ]


def _views_disagree(views: Mapping[ViewKey, ViewPrediction]) -> tuple[Finding, ...]:
    """Return a finding where the densities of the two views lie far apart."""
    if len(views) < 2:
        return ()
    cc, mlo = (views[key].density for key in VIEW_KEYS)
    if not far_apart(cc, mlo):
        return ()
    return (finding("views_disagree", cc=max(cc, key=cc.__getitem__), mlo=max(mlo, key=mlo.__getitem__)),)
