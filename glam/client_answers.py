"""What `glam.client` returns: a server's answers as frozen dataclasses, by the standard library alone."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from glam.files import JsonDict

Part = TypeVar("Part")
Vector = tuple[float, ...]
Probabilities = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class FindingAnswer:
    """Something about an input that its reader should know."""

    code: str
    severity: str
    message: str


@dataclass(frozen=True, kw_only=True)
class PromptAnswer:
    """How well the breast fits a sentence."""

    similarity: float
    probability: float
    unknown_words: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SetAnswer:
    """What the classes of a prompt set say; name and version are None for classes that came with the request."""

    name: str | None
    version: str | None
    sha256: str
    tasks: dict[str, Probabilities]
    unknown_words: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ViewAnswer:
    """One view; a part that was not asked for is None."""

    view: str
    laterality: str
    birads: Probabilities
    density: Probabilities
    embedding: Vector | None
    findings: tuple[FindingAnswer, ...]
    raw: JsonDict = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class BreastAnswer:
    """What the model says of one breast; attention, frames, maps and the like are in `raw`, the JSON as it came."""

    laterality: str
    views: dict[str, ViewAnswer]
    birads: Probabilities
    density: Probabilities
    calibrated: bool
    aggregation: str
    prompts: dict[str, PromptAnswer]
    prompt_set: SetAnswer | None
    embedding: Vector | None
    """None: not asked for, or withheld; then the finding `embedding_withheld` says so."""
    missing: tuple[str, ...]
    findings: tuple[FindingAnswer, ...]
    bundle: str
    result_id: str | None
    raw: JsonDict = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class UsedImage:
    """An image that was used, and as what; numbers begin at 1."""

    image: int
    laterality: str
    view: str


@dataclass(frozen=True, kw_only=True)
class LeftOutImage:
    """An image that was not used, and why."""

    image: int
    code: str
    message: str


@dataclass(frozen=True, kw_only=True)
class ExamAnswer:
    """What the model says of an exam."""

    breasts: dict[str, BreastAnswer]
    birads: Probabilities
    density: Probabilities
    calibrated: bool
    aggregation: str
    prompt_set: SetAnswer | None
    embedding: Vector | None
    used: tuple[UsedImage, ...]
    left_out: tuple[LeftOutImage, ...]
    missing: tuple[str, ...]
    findings: tuple[FindingAnswer, ...]
    bundle: str
    result_id: str | None
    raw: JsonDict = field(repr=False)


def breast_answer(body: JsonDict) -> BreastAnswer:
    """Return the answer for one breast; KeyError or TypeError for a JSON that is none."""
    return BreastAnswer(
        laterality=body["laterality"],
        views={key: _view(view) for key, view in body["views"].items()},
        birads=body["birads"],
        density=body["density"],
        calibrated=body["calibrated"],
        aggregation=body["aggregation"],
        prompts={text: _prompt(match) for text, match in body["prompts"].items()},
        prompt_set=_set(body["prompt_set"]),
        embedding=_vector(body.get("embedding")),
        missing=tuple(body["missing"]),
        findings=_findings(body),
        bundle=body["bundle"],
        result_id=body.get("result_id"),
        raw=body,
    )


def exam_answer(body: JsonDict) -> ExamAnswer:
    """Return the answer for an exam; KeyError or TypeError for a JSON that is none."""
    return ExamAnswer(
        breasts={side: breast_answer(breast) for side, breast in body["breasts"].items()},
        birads=body["birads"],
        density=body["density"],
        calibrated=body["calibrated"],
        aggregation=body["aggregation"],
        prompt_set=_set(body["prompt_set"]),
        embedding=_vector(body.get("embedding")),
        used=_all(body["used"], lambda entry: UsedImage(**entry)),
        left_out=_all(body["left_out"], lambda entry: LeftOutImage(**entry)),
        missing=tuple(body["missing"]),
        findings=_findings(body),
        bundle=body["bundle"],
        result_id=body.get("result_id"),
        raw=body,
    )


def _view(body: JsonDict) -> ViewAnswer:
    return ViewAnswer(
        view=body["view"],
        laterality=body["laterality"],
        birads=body["birads"],
        density=body["density"],
        embedding=_vector(body.get("embedding")),
        findings=_findings(body),
        raw=body,
    )


def _prompt(body: JsonDict) -> PromptAnswer:
    words: tuple[str, ...] = tuple(body["unknown_words"])
    return PromptAnswer(similarity=body["similarity"], probability=body["probability"], unknown_words=words)


def _set(body: JsonDict | None) -> SetAnswer | None:
    if body is None:
        return None
    return SetAnswer(
        name=body["name"],
        version=body["version"],
        sha256=body["sha256"],
        tasks=body["tasks"],
        unknown_words=tuple(body["unknown_words"]),
    )


def _findings(body: JsonDict) -> tuple[FindingAnswer, ...]:
    return _all(body.get("findings") or [], lambda entry: FindingAnswer(**entry))


def _vector(numbers: list[float] | None) -> Vector | None:
    return None if numbers is None else tuple(numbers)


def _all(entries: list[JsonDict], read: Callable[[JsonDict], Part]) -> tuple[Part, ...]:
    return tuple(map(read, entries))
