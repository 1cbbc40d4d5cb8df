"""Prediction: what the model says of one breast, and its JSON."""

import base64
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from glam.attention import Attention
from glam.drawing.overlay import overlays
from glam.findings import Finding
from glam.frame import Frame, cell_polygon
from glam.pair import PreparedView
from glam.view import ViewKey
from glam.words.prompt_sets import PromptSet

NOTICE = "research use only, not for diagnosis"
Include = Literal["embedding", "attention", "frame", "findings", "pooling", "cells", "maps"]
INCLUDES: tuple[Include, ...] = get_args(Include)
DEFAULT_INCLUDE: tuple[Include, ...] = ("embedding", "attention", "frame", "findings")
Aggregation = Literal["probabilities", "embeddings"]
"""What of several images is averaged. The papers average the results of single views; so does the default."""
AGGREGATIONS: tuple[Aggregation, ...] = get_args(Aggregation)
FAR_APART = 2
"""Density classes that two images of one patient may not lie apart without being told."""
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ViewPrediction(PreparedView):
    """What the model says of one view."""

    embedding: np.ndarray
    """(joint,), of length 1."""
    birads: dict[str, float]
    """Of this view alone."""
    density: dict[str, float]


class PromptMatch(NamedTuple):
    """How well the breast fits a caller's sentence."""

    similarity: float
    """Cosine."""
    probability: float
    """Softmax over the caller's prompts."""
    unknown_words: tuple[str, ...]
    """Words that the bundle's vocabulary does not hold."""


@dataclass(frozen=True, kw_only=True)
class SetMatch:
    """What the classes of a prompt set say of a breast or of an exam."""

    prompt_set: PromptSet
    tasks: dict[str, dict[str, float]]
    """Task -> class -> probability, not calibrated."""
    unknown_words: tuple[str, ...]
    """Words of the set that the bundle's vocabulary does not hold."""

    def as_json(self) -> Json:
        """Return JSON types; name and version are null for classes that came with the request."""
        return {
            "name": self.prompt_set.name or None,
            "version": self.prompt_set.version or None,
            "sha256": self.prompt_set.sha256,
            "tasks": {task: rounded(classes) for task, classes in self.tasks.items()},
            "unknown_words": list(self.unknown_words),
        }


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What the model says of one breast."""

    views: dict[ViewKey, ViewPrediction]
    embedding: np.ndarray
    """(joint,): the mean of the views' embeddings, brought to length 1."""
    birads: dict[str, float]
    density: dict[str, float]
    aggregation: Aggregation = "probabilities"
    """How the two above were made of those of the views."""
    prompts: dict[str, PromptMatch] = field(default_factory=dict)
    prompt_set: SetMatch | None = None
    """None: none was asked for."""
    attention: Attention | None
    """None for a lone view, and of a model that does not compare its views."""
    cell_side: int | None = None
    """Regions along a side of the square; None: the model has no regions, or they are not tied to a place."""
    missing: tuple[ViewKey, ...] = ()
    findings: tuple[Finding, ...] = ()
    """Of the breast; each view carries its own."""
    bundle: str
    """SHA-256 of bundle.json."""
    prepare_sha: str
    variant: str = "portable"
    """Which graphs of the bundle answered."""
    calibrated: bool = False
    """Whether all of these probabilities are."""
    notice: str = NOTICE

    @property
    def laterality(self) -> Literal["L", "R"]:
        """Side of the breast."""
        return next(iter(self.views.values())).laterality

    @property
    def unknown_words(self) -> tuple[str, ...]:
        """Words of the prompts that the bundle's vocabulary does not hold."""
        return tuple(dict.fromkeys(word for match in self.prompts.values() for word in match.unknown_words))

    def as_json(self, include: Collection[str] = DEFAULT_INCLUDE, *, withheld: Finding | None = None) -> Json:
        """Return JSON types: always the probabilities and where they come from, the rest as `include` names it.

        Attention and embeddings are lists of rounded numbers, pooling weights base64 of little-endian float16, maps
        base64 of PNG.
        `withheld`: why embeddings may not be given out; they are null then, and it is among the findings.
        """
        chosen = check_include(include)
        answer: Json = {
            "laterality": self.laterality,
            "views": {key: self._view_json(view, chosen, withheld) for key, view in self.views.items()},
            "birads": rounded(self.birads),
            "density": rounded(self.density),
            "calibrated": self.calibrated,
            "aggregation": self.aggregation,
            "prompts": {text: match_json(match) for text, match in self.prompts.items()},
            "prompt_set": self.prompt_set and self.prompt_set.as_json(),
            "unknown_words": list(self.unknown_words),
            "missing": list(self.missing),
        }
        if "embedding" in chosen:
            answer["embedding"] = None if withheld else _numbers(self.embedding, decimals=6)
        of_embedding = [withheld] if withheld and "embedding" in chosen else []
        if "findings" in chosen or of_embedding:
            findings = [*(self.findings if "findings" in chosen else ()), *of_embedding]
            answer["findings"] = [finding.as_json() for finding in findings]
        answer |= _attention_json(self.attention, chosen)
        if "maps" in chosen:
            answer["maps"] = self._maps_json()
        origin = {"bundle": self.bundle, "variant": self.variant, "prepare_sha": self.prepare_sha}
        return answer | origin | {"notice": self.notice}

    def _view_json(self, view: ViewPrediction, chosen: frozenset[str], withheld: Finding | None) -> Json:
        answer: Json = {
            "view": view.view,
            "laterality": view.laterality,
            "birads": rounded(view.birads),
            "density": rounded(view.density),
        }
        if "embedding" in chosen:
            answer["embedding"] = None if withheld else _numbers(view.embedding, decimals=6)
        if "frame" in chosen:
            answer["frame"] = view.frame.as_json()
            answer["landmarks"] = view.input.anatomy and view.input.anatomy.as_json()
        if "cells" in chosen:
            answer["cells"] = None if self.cell_side is None else cells(view.frame, self.cell_side)
        if "findings" in chosen:
            answer["findings"] = [finding.as_json() for finding in view.findings]
            answer["provenance"] = view.provenance
        return answer

    def _maps_json(self) -> list[Json] | None:
        if self.attention is None:
            return None
        squares: dict[ViewKey, np.ndarray] = {}
        frames: dict[ViewKey, Frame] = {}
        for key, view in self.views.items():
            squares[key], frames[key] = view.input.pixels, view.frame
        drawn = overlays(self.attention, squares, frames)
        return [
            overlay._asdict() | {"query": overlay.query._asdict(), "png": base64.b64encode(overlay.png).decode("ascii")}
            for overlay in drawn
        ]


def far_apart(density: Mapping[str, float], other: Mapping[str, float]) -> bool:
    """Say whether the likeliest density classes of two images lie FAR_APART or more."""
    if not density or not other:
        return False
    classes = list(density)
    first, second = (max(answer, key=answer.__getitem__) for answer in (density, other))
    return abs(classes.index(first) - classes.index(second)) >= FAR_APART


def cells(frame: Frame, side: int) -> list[list[Any]]:
    """Return the corners of every cell, [row][col], in stored pixels (x, y), as `cell_polygon` orders them."""
    return [[cell_polygon(frame, side, row, col).round(2).tolist() for col in range(side)] for row in range(side)]


def check_aggregation(aggregation: str) -> None:
    """ValueError for a name that is no Aggregation."""
    if aggregation not in AGGREGATIONS:
        raise ValueError(f"aggregation {aggregation!r} is neither of {', '.join(AGGREGATIONS)}")


def check_include(include: Collection[str]) -> frozenset[str]:
    """Return the parts of an answer to include; ValueError for a name that is none."""
    unknown = sorted(set(include) - set(INCLUDES))
    if unknown:
        raise ValueError(f"include {unknown[0]!r} is none of {', '.join(INCLUDES)}")
    return frozenset(include)


def _attention_json(attention: Attention | None, chosen: frozenset[str]) -> Json:
    answer: Json = {}
    if "attention" in chosen:
        answer["attention"] = attention and {
            "cc_to_mlo": _numbers(attention.cc_to_mlo, decimals=4),
            "mlo_to_cc": _numbers(attention.mlo_to_cc, decimals=4),
        }
    if "pooling" in chosen:
        answer["pooling"] = attention and {
            "cc": _base64(attention.pooling_cc),
            "mlo": _base64(attention.pooling_mlo),
            "shape": list(attention.pooling_cc.shape),  # (region, patch)
        }
    return answer


def match_json(match: PromptMatch) -> Json:
    """Return JSON types."""
    return rounded({"similarity": match.similarity, "probability": match.probability}) | {
        "unknown_words": list(match.unknown_words)
    }


def rounded(values: Mapping[str, float]) -> Json:
    """Return probabilities as an answer gives them."""
    return {name: round(value, 6) for name, value in values.items()}


def _numbers(values: np.ndarray, *, decimals: int) -> list[Any]:
    return values.astype(np.float64).round(decimals).tolist()


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(values.astype("<f2").tobytes()).decode("ascii")
