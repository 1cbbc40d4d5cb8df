"""What the vectors of a bundle's model mean: probabilities of classes, and how well sentences fit. No runtime.

The server interprets where it reads files, and runs the model in its workers; a `glam.predict.Predictor` does both.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from glam.bundle import Bundle
from glam.engine import BreastVectors
from glam.findings import Finding, finding, input_error
from glam.pair import PreparedBreast
from glam.prediction import Aggregation, Prediction, PromptMatch, SetMatch, ViewPrediction, far_apart
from glam.prepare import prepare_sha
from glam.view import VIEW_KEYS, ViewKey
from glam.words.prompt_sets import PromptSet
from glam.words.tokens import Tokenizer, Tokens
from glam.zeroshot import breast_embedding, calibration_from_json, class_probabilities, mean_probabilities, unit

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
        alignment = bundle.model.alignment
        self._cell_side = alignment.side if alignment is not None and alignment.is_tied_to_places else None
        self._tokenizer: Tokenizer | None = None  # read when the first prompt comes, or by `warm_up`

    def warm_up(self) -> None:
        """Open what would be opened later: after this no file of the bundle is read, whatever becomes of it."""
        self._tokenizer = self._tokenizer or self.bundle.tokenizer()

    def prediction(
        self,
        breast: PreparedBreast,
        vectors: BreastVectors,
        prompts: PromptVectors | None = None,
        *,
        prompt_set: PromptSet | None = None,
        aggregation: Aggregation = "probabilities",
    ) -> Prediction:
        """Return what the model says of a breast.

        `prompts` holds the vectors of `breast.prompts` and of the sentences of `prompt_set`.
        """
        of_views = np.stack(list(vectors.embeddings.values()))  # (view, joint)
        embedding = breast_embedding(of_views)
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
            prompts=self.match(breast.prompts, prompts or {}, embedding),
            prompt_set=prompt_set and self.match_set(prompt_set, prompts or {}, of_views, aggregation=aggregation),
            attention=vectors.attention,
            cell_side=self._cell_side,
            missing=tuple(key for key in VIEW_KEYS if key not in breast.views),
            findings=(*breast.findings, *_views_disagree(views)),
            bundle=self.bundle.sha256,
            variant=self.bundle.variant,
            prepare_sha=self._prepare_sha,
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
            raise input_error(
                "bad_prompt", "prompts", problem=f"a prompt has {longest} tokens, the model takes {limit}"
            )
        return self.tokenizer.encode(sentences, max_tokens=limit)

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the text tower."""
        self.warm_up()
        assert self._tokenizer is not None
        return self._tokenizer

    def match(self, prompts: Sequence[str], vectors: PromptVectors, embedding: np.ndarray) -> dict[str, PromptMatch]:
        """Return how well an embedding (joint,) fits sentences, whose vectors are among `vectors`."""
        if not prompts:
            return {}
        stacked = np.stack([vectors[text] for text in prompts])  # (prompt, joint)
        similarities = (stacked @ embedding).tolist()
        probabilities = class_probabilities(embedding[None], stacked, self.bundle.scale)[0].tolist()
        unknown = map(self.tokenizer.unknown_words, prompts)
        return dict(zip(prompts, map(PromptMatch, similarities, probabilities, unknown), strict=True))

    def match_set(
        self,
        prompt_set: PromptSet,
        vectors: PromptVectors,
        embeddings: np.ndarray,
        *,
        aggregation: Aggregation = "probabilities",
    ) -> SetMatch:
        """Return what the classes of a set say of the views (view, joint) of a breast, averaged as `aggregation` says.

        A class is the mean of its sentences' vectors, brought to length 1.
        """
        images = embeddings if aggregation == "probabilities" else breast_embedding(embeddings)[None]
        tasks = {}
        for task, classes in prompt_set.tasks.items():
            class_vectors = np.stack(
                [unit(np.mean([vectors[text] for text in texts], 0)) for texts in classes.values()]
            )
            probabilities = class_probabilities(images, class_vectors, self.bundle.scale).mean(axis=0)
            tasks[task] = dict(zip(classes, probabilities.tolist(), strict=True))
        words = (word for text in prompt_set.sentences for word in self.tokenizer.unknown_words(text))
        return SetMatch(prompt_set=prompt_set, tasks=tasks, unknown_words=tuple(dict.fromkeys(words)))


def _views_disagree(views: Mapping[ViewKey, ViewPrediction]) -> tuple[Finding, ...]:
    """Return a finding where the densities of the two views lie far apart."""
    if len(views) < 2:
        return ()
    cc, mlo = (views[key].density for key in VIEW_KEYS)
    if not far_apart(cc, mlo):
        return ()
    return (finding("views_disagree", cc=max(cc, key=cc.__getitem__), mlo=max(mlo, key=mlo.__getitem__)),)
