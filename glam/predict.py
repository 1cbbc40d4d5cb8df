"""Views in, Prediction out: the one inference path of the server, the viewer, the cohort and `glam predict`.

It has two halves: `glam.engine` runs the model, an Interpreter says what its vectors mean. The server has the first in
its workers and the second where it reads files; a Predictor has both.
"""

import warnings
from collections.abc import Sequence

import numpy as np

from glam.bundle import Bundle
from glam.engine import run_breasts
from glam.exam import ExamPrediction, exam_prediction, prepare_exam
from glam.interpret import Interpreter, PromptVectors
from glam.licence import SharingWarning
from glam.pair import PreparedBreast, prepare_breast, read_breast
from glam.prediction import Aggregation, Prediction, check_aggregation
from glam.prepare import ModelInput, prepare
from glam.reading.read import read_view
from glam.reading.source import Source
from glam.runtime import Runtime
from glam.view import View
from glam.words.prompt_sets import PromptSet
from glam.words.sentences import MAX_PROMPTS

__all__ = ["Interpreter", "Predictor", "PromptVectors"]


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
        prompts: Sequence[str] | PromptSet = (),
        aggregation: Aggregation = "probabilities",
    ) -> Prediction:
        """Answer for one breast from its files (paths, bytes or open files), or from Views.

        `laterality` and `spacing_mm` fill what the headers lack. InputError names the view that cannot be used.
        `prompts`: sentences, or the classes of a prompt set (`glam.words.prompt_sets`).
        `aggregation`: whether the probabilities of two views are averaged, or their embeddings.
        Where the embeddings must not leave the machine, a SharingWarning says so, once a Predictor.
        """
        check_aggregation(aggregation)
        config = self.bundle.model.frame
        views = read_breast({"cc": cc, "mlo": mlo}, config, laterality=laterality, spacing_mm=spacing_mm)
        breast = prepare_breast(config, views.get("cc"), views.get("mlo"), prompts=_sentences(prompts))
        self._warn_of_sharing()
        return self._answer([breast], _set(prompts), aggregation)[0]

    def predict_exam(
        self,
        images: Sequence[Source | View],
        *,
        spacing_mm: float | None = None,
        prompts: Sequence[str] | PromptSet = (),
        aggregation: Aggregation = "probabilities",
    ) -> ExamPrediction:
        """Answer for an exam from one to eight images in any order, each routed by its own header.

        What cannot be used is left out and told. InputError: no image can be used, or they are not of one exam.
        """
        check_aggregation(aggregation)
        config = self.bundle.model.frame
        exam = prepare_exam(config, images, spacing_mm=spacing_mm, prompts=_sentences(prompts))
        self._warn_of_sharing()
        predictions = self._answer(list(exam.breasts.values()), _set(prompts), aggregation)
        return exam_prediction(exam, dict(zip(exam.breasts, predictions, strict=True)))

    def answer(self, breast: PreparedBreast) -> Prediction:
        """Answer for a breast that `prepare_breast` returned; the same SharingWarning as of `predict`."""
        self._warn_of_sharing()
        return self._answer([breast], None, "probabilities")[0]

    def _warn_of_sharing(self) -> None:
        """Warn the caller of the method that calls this, the first time."""
        if not self._warns:
            return
        self._warns = False
        message = f"the licence of {self.bundle.name} keeps its embeddings on this machine (may_share is false)"
        warnings.warn(f"{message}: do not pass on what holds an embedding", SharingWarning, stacklevel=3)

    def _answer(
        self, breasts: Sequence[PreparedBreast], prompt_set: PromptSet | None, aggregation: Aggregation
    ) -> list[Prediction]:
        """Run the model on breasts that have the same prompts."""
        vectors = run_breasts(self.runtime, [breast.squares for breast in breasts])
        prompts = self._sentence_vectors([*breasts[0].prompts, *(prompt_set.sentences if prompt_set else ())])
        return [
            self.interpreter.prediction(breast, out, prompts, prompt_set=prompt_set, aggregation=aggregation)
            for breast, out in zip(breasts, vectors, strict=True)
        ]

    def _sentence_vectors(self, sentences: Sequence[str]) -> PromptVectors:
        """Return the unit vectors of sentences; InputError for one that is too long for the model."""
        found: dict[str, np.ndarray] = {}
        for start in range(0, len(sentences), MAX_PROMPTS):
            batch = sentences[start : start + MAX_PROMPTS]
            tokens = self.interpreter.tokens(batch)
            found |= dict(zip(batch, self.runtime.text(tokens.ids, tokens.mask), strict=True))
        return found


def _sentences(prompts: Sequence[str] | PromptSet) -> Sequence[str]:
    return () if isinstance(prompts, PromptSet) else prompts


def _set(prompts: Sequence[str] | PromptSet) -> PromptSet | None:
    return prompts if isinstance(prompts, PromptSet) else None
