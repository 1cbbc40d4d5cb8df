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


@dataclass(frozen=True, kw_only=True)
class JobAnswer:
    """How far a job is: queued, running, done with its answer, or failed with the server's error."""

    job_id: str
    state: str
    answer: BreastAnswer | ExamAnswer | None
    error: JsonDict | None
    """`code`, `message` and `where`."""


def breast_answer(body: JsonDict) -> BreastAnswer:
    """Return the answer for one breast; KeyError or TypeError for a JSON that is none."""
    return BreastAnswer(
        laterality=body["laterality"],
        views={key: _view(view) for key, view in body["views"].items()},
        birads=body["birads"],
        density=body["density"],
        calibrated=body["calibrated"],
        aggregation=body["aggregation"],
        prompts={text: prompt_answer(match) for text, match in body["prompts"].items()},
        prompt_set=set_answer(body["prompt_set"]),
        embedding=vector(body.get("embedding")),
        missing=tuple(body["missing"]),
        findings=findings_of(body),
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
        prompt_set=set_answer(body["prompt_set"]),
        embedding=vector(body.get("embedding")),
        used=each(body["used"], lambda entry: UsedImage(**entry)),
        left_out=each(body["left_out"], lambda entry: LeftOutImage(**entry)),
        missing=tuple(body["missing"]),
        findings=findings_of(body),
        bundle=body["bundle"],
        result_id=body.get("result_id"),
        raw=body,
    )


def job_answer(body: JsonDict) -> JobAnswer:
    """Return how far a job is; KeyError or TypeError for a JSON that is none."""
    answer = body["answer"]
    typed = None if answer is None else exam_answer(answer) if "breasts" in answer else breast_answer(answer)
    return JobAnswer(job_id=body["job_id"], state=body["state"], answer=typed, error=body["error"])


def _view(body: JsonDict) -> ViewAnswer:
    return ViewAnswer(
        view=body["view"],
        laterality=body["laterality"],
        birads=body["birads"],
        density=body["density"],
        embedding=vector(body.get("embedding")),
        findings=findings_of(body),
        raw=body,
    )


def prompt_answer(body: JsonDict) -> PromptAnswer:
    """Return what a sentence got."""
    words: tuple[str, ...] = tuple(body["unknown_words"])
    return PromptAnswer(similarity=body["similarity"], probability=body["probability"], unknown_words=words)


def set_answer(body: JsonDict | None) -> SetAnswer | None:
    """Return what a prompt set got; None: none was asked for."""
    if body is None:
        return None
    return SetAnswer(
        name=body["name"],
        version=body["version"],
        sha256=body["sha256"],
        tasks=body["tasks"],
        unknown_words=tuple(body["unknown_words"]),
    )


def findings_of(body: JsonDict) -> tuple[FindingAnswer, ...]:
    """Return the findings of a part of an answer; none where they were not asked for."""
    return each(body.get("findings") or [], lambda entry: FindingAnswer(**entry))


def vector(numbers: list[float] | None) -> Vector | None:
    """Return a vector; None: withheld, or not asked for."""
    return None if numbers is None else tuple(numbers)


def each(entries: list[JsonDict], read: Callable[[JsonDict], Part]) -> tuple[Part, ...]:
    """Return every entry of a list, read."""
    return tuple(map(read, entries))
