"""Views in, Prediction out: the one inference path of the server, the viewer, the cohort and `glam predict`."""

import warnings
from collections.abc import Sequence

import numpy as np

from glam.attention import Attention
from glam.bundle import Bundle
from glam.findings import input_error
from glam.licence import SharingWarning
from glam.pair import PreparedBreast, prepare_breast, read_breast
from glam.prediction import Prediction, PromptMatch, ViewPrediction
from glam.prepare import ModelInput, prepare, prepare_sha
from glam.reading.parse import Source
from glam.reading.read import read_view
from glam.runtime import Runtime
from glam.view import VIEW_KEYS, View
from glam.words.tokens import Tokenizer
from glam.zeroshot import breast_embedding, calibration_from_json, class_probabilities


class Predictor:
    """A bundle and the runtime that runs it.

    Where the licence keeps the bundle's embeddings on the machine, the first answer comes with a SharingWarning; not so
    with `withholds`: the caller leaves embeddings out of what it gives away (`glam.licence.withheld_embeddings`).
    """

    def __init__(self, bundle: Bundle, runtime: Runtime, *, withholds: bool = False) -> None:
        self.bundle = bundle
        self.runtime = runtime
        self._class_vectors = {task: bundle.class_vectors(task) for task in bundle.classes}
        self._calibrations = {
            task: calibration_from_json(numbers, num_classes=len(bundle.classes[task]))
            for task, numbers in bundle.calibration.items()
        }
        reported = {"birads", "density"} & self._class_vectors.keys()
        self._calibrated = bool(reported) and reported <= self._calibrations.keys()
        self._prepare_sha = prepare_sha(bundle.model.frame)
        self._tokenizer: Tokenizer | None = None  # read when the first prompt comes
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
    ) -> Prediction:
        """Answer for one breast from its files (paths, bytes or open files), or from Views.

        `laterality` and `spacing_mm` fill what the headers lack. InputError names the view that cannot be used.
        Where the embeddings must not leave the machine, a SharingWarning says so, once a Predictor.
        """
        config = self.bundle.model.frame
        views = read_breast({"cc": cc, "mlo": mlo}, config, laterality=laterality, spacing_mm=spacing_mm)
        breast = prepare_breast(config, views.get("cc"), views.get("mlo"), prompts=prompts)
        self._warn_of_sharing()
        return self._answer(breast)

    def answer(self, breast: PreparedBreast) -> Prediction:
        """Answer for a breast that `prepare_breast` returned; the same SharingWarning as of `predict`."""
        self._warn_of_sharing()
        return self._answer(breast)

    def _warn_of_sharing(self) -> None:
        """Warn the caller of the method that calls this, the first time."""
        if not self._warns:
            return
        self._warns = False
        message = f"the licence of {self.bundle.name} keeps its embeddings on this machine (may_share is false)"
        warnings.warn(f"{message}: do not pass on what holds an embedding", SharingWarning, stacklevel=3)

    def _answer(self, breast: PreparedBreast) -> Prediction:
        """Run the model."""
        images = np.stack([view.input.pixels for view in breast.views.values()])[:, None]  # (view, 1, S, S)
        vision = self.runtime.vision(images)
        embedding = breast_embedding(vision.embedding)
        vectors = dict(zip(breast.views, vision.embedding, strict=True))
        patches = dict(zip(breast.views, vision.patches, strict=True))
        return Prediction(
            views={key: ViewPrediction(**vars(view), embedding=vectors[key]) for key, view in breast.views.items()},
            embedding=embedding,
            birads=self._probabilities("birads", embedding),
            density=self._probabilities("density", embedding),
            prompts=self._match_prompts(breast.prompts, embedding),
            attention=self._attend(patches["cc"], patches["mlo"]) if len(patches) == 2 else None,
            missing=tuple(key for key in VIEW_KEYS if key not in breast.views),
            findings=breast.findings,
            bundle=self.bundle.sha256,
            prepare_sha=self._prepare_sha,
            calibrated=self._calibrated,
        )

    def _probabilities(self, task: str, embedding: np.ndarray) -> dict[str, float]:
        """Zero-shot probabilities by class name, calibrated where the bundle can; empty where it knows no such task."""
        if task not in self._class_vectors:
            return {}
        probabilities = class_probabilities(embedding[None], self._class_vectors[task], self.bundle.scale)[0]
        if task in self._calibrations:
            probabilities = self._calibrations[task].apply(probabilities)
        return dict(zip(self.bundle.classes[task], probabilities.tolist(), strict=True))

    def _match_prompts(self, prompts: Sequence[str], embedding: np.ndarray) -> dict[str, PromptMatch]:
        if not prompts:
            return {}
        self._tokenizer = self._tokenizer or self.bundle.tokenizer()
        limit = self.bundle.model.text.max_tokens
        if (longest := max(map(self._tokenizer.length, prompts))) > limit:
            raise input_error(
                "bad_prompt", "prompts", problem=f"a prompt has {longest} tokens, the model takes {limit}"
            )
        tokens = self._tokenizer.encode(prompts, max_tokens=limit)
        vectors = self.runtime.text(tokens.ids, tokens.mask)  # (prompt, joint)
        similarities = (vectors @ embedding).tolist()
        probabilities = class_probabilities(embedding[None], vectors, self.bundle.scale)[0].tolist()
        unknown = map(self._tokenizer.unknown_words, prompts)
        return dict(zip(prompts, map(PromptMatch, similarities, probabilities, unknown), strict=True))

    def _attend(self, cc: np.ndarray, mlo: np.ndarray) -> Attention:
        """Attention between the patches (patch, dim) of two views."""
        aligned = self.runtime.align(cc[None], mlo[None])
        return Attention(
            cc_to_mlo=aligned.cc_to_mlo[0],
            mlo_to_cc=aligned.mlo_to_cc[0],
            pooling_cc=aligned.pooling_cc[0],
            pooling_mlo=aligned.pooling_mlo[0],
        )
