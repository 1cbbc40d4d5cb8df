"""Prediction: what the model says of one breast, and its JSON."""

import base64
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from glam.attention import Attention
from glam.findings import Finding
from glam.pair import PreparedView
from glam.view import ViewKey

NOTICE = "research use only, not for diagnosis"
Include = Literal["embedding", "attention", "frame", "findings", "pooling"]
INCLUDES: tuple[Include, ...] = get_args(Include)
DEFAULT_INCLUDE: tuple[Include, ...] = ("embedding", "attention", "frame", "findings")
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ViewPrediction(PreparedView):
    """What the model says of one view."""

    embedding: np.ndarray
    """(joint,), of length 1."""


class PromptMatch(NamedTuple):
    """How well the breast fits a caller's sentence."""

    similarity: float
    """Cosine."""
    probability: float
    """Softmax over the caller's prompts."""
    unknown_words: tuple[str, ...]
    """Words that the bundle's vocabulary does not hold."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What the model says of one breast."""

    views: dict[ViewKey, ViewPrediction]
    embedding: np.ndarray
    """(joint,): the mean of the views' embeddings, brought to length 1."""
    birads: dict[str, float]
    density: dict[str, float]
    prompts: dict[str, PromptMatch] = field(default_factory=dict)
    attention: Attention | None
    """None for a lone view."""
    missing: tuple[ViewKey, ...] = ()
    findings: tuple[Finding, ...] = ()
    """Of the breast; each view carries its own."""
    bundle: str
    """SHA-256 of bundle.json."""
    prepare_sha: str
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

        Attention and embeddings are lists of rounded numbers, pooling weights base64 of little-endian float16.
        `withheld`: why embeddings may not be given out; they are null then, and it is among the findings.
        """
        chosen = check_include(include)
        answer: Json = {
            "laterality": self.laterality,
            "views": {key: _view_json(view, chosen, withheld) for key, view in self.views.items()},
            "birads": _rounded(self.birads),
            "density": _rounded(self.density),
            "calibrated": self.calibrated,
            "prompts": {text: _match_json(match) for text, match in self.prompts.items()},
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
        return answer | {"bundle": self.bundle, "prepare_sha": self.prepare_sha, "notice": self.notice}


def check_include(include: Collection[str]) -> frozenset[str]:
    """Return the parts of an answer to include; ValueError for a name that is none."""
    unknown = sorted(set(include) - set(INCLUDES))
    if unknown:
        raise ValueError(f"include {unknown[0]!r} is none of {', '.join(INCLUDES)}")
    return frozenset(include)


def _view_json(view: ViewPrediction, chosen: frozenset[str], withheld: Finding | None) -> Json:
    answer: Json = {"view": view.view, "laterality": view.laterality}
    if "embedding" in chosen:
        answer["embedding"] = None if withheld else _numbers(view.embedding, decimals=6)
    if "frame" in chosen:
        answer["frame"] = view.frame.as_json()
        answer["landmarks"] = view.input.anatomy and view.input.anatomy.as_json()
    if "findings" in chosen:
        answer["findings"] = [finding.as_json() for finding in view.findings]
        answer["provenance"] = view.provenance
    return answer


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


def _match_json(match: PromptMatch) -> Json:
    return _rounded({"similarity": match.similarity, "probability": match.probability}) | {
        "unknown_words": list(match.unknown_words)
    }


def _rounded(values: dict[str, float]) -> Json:
    return {name: round(value, 6) for name, value in values.items()}


def _numbers(values: np.ndarray, *, decimals: int) -> list[Any]:
    return values.astype(np.float64).round(decimals).tolist()


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(values.astype("<f2").tobytes()).decode("ascii")
