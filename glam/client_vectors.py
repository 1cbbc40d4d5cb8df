"""What `glam.client` returns of vectors and words: frozen dataclasses, by the standard library alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from glam.client_answers import (
    FindingAnswer,
    LeftOutImage,
    PromptAnswer,
    SetAnswer,
    Vector,
    each,
    findings_of,
    prompt_answer,
    set_answer,
    vector,
)
from glam.files import JsonDict


@dataclass(frozen=True, kw_only=True)
class WordsAnswer:
    """What words say of a breast of an earlier answer, or of a vector that was sent (`laterality` None)."""

    laterality: str | None
    prompts: dict[str, PromptAnswer]
    prompt_set: SetAnswer | None


@dataclass(frozen=True, kw_only=True)
class TextVector:
    """The vector of a text; None: withheld."""

    embedding: Vector | None
    unknown_words: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ImageVector:
    """The vector of an image; None: withheld. `image` is its number among `images`, from 1; None for cc and mlo."""

    image: int | None
    laterality: str
    view: str
    embedding: Vector | None
    findings: tuple[FindingAnswer, ...]


@dataclass(frozen=True, kw_only=True)
class ImageVectors:
    """The vectors of images, and of which of them there are none."""

    images: tuple[ImageVector, ...]
    left_out: tuple[LeftOutImage, ...]
    findings: tuple[FindingAnswer, ...]
    bundle: str
    result_id: str


@dataclass(frozen=True, kw_only=True)
class SimilarCase:
    """A row of the server's store: its key there, and what the model said of it. `likeness`: cosine, -1 to 1."""

    exam_id: str
    laterality: str | None
    image_id: str | None
    patient_id: str
    likeness: float
    birads: dict[str, float]
    density: dict[str, float]
    codes: tuple[str, ...]
    view: str | None = None
    """Of a row that is an image."""


@dataclass(frozen=True, kw_only=True)
class SimilarCases:
    """The rows most like a breast or image of an earlier answer; `laterality` None: of an exam, or of a vector.

    `view`: of an image.
    """

    laterality: str | None
    cases: tuple[SimilarCase, ...]
    view: str | None = None


@dataclass(frozen=True, kw_only=True)
class SimilarAnswer:
    """What a server's store has that is like an earlier answer, or like vectors."""

    answers: tuple[SimilarCases, ...]
    patient_known: bool
    """Whether the store knows the patient of the earlier answer, whose rows are left out unless they were asked for."""
    level: str
    rows: int
    """Of the store."""
    exact: bool = True
    """Whether every row was compared."""


def similar_answer(body: JsonDict) -> SimilarAnswer:
    """Return the cases like each breast, image, exam or vector; KeyError or TypeError for a JSON that is none."""
    return SimilarAnswer(
        answers=each(
            body["answers"],
            lambda entry: SimilarCases(
                laterality=entry["laterality"],
                cases=each(entry["hits"], _similar_case),
                view=entry.get("view"),  # servers before it did not say
            ),
        ),
        patient_known=body["patient_known"],
        level=body["store"]["level"],
        rows=body["store"]["rows"],
        exact=body.get("exact", True),  # servers before it compared every row
    )


def _similar_case(hit: JsonDict) -> SimilarCase:
    others = {name: value for name, value in hit.items() if name != "codes"}
    return SimilarCase(codes=tuple(hit["codes"]), **others)


def vectors_asked(result_id: str | None, embeddings: Sequence[Sequence[float]] | None) -> JsonDict:
    """Return the part of a request that says which vectors it is about."""
    named = {} if result_id is None else {"result_id": result_id}
    sent = {} if embeddings is None else {"embeddings": [list(map(float, vector)) for vector in embeddings]}
    return named | sent


def words_answers(body: JsonDict) -> tuple[WordsAnswer, ...]:
    """Return what words say of each breast or vector; KeyError or TypeError for a JSON that is none."""
    return each(
        body["answers"],
        lambda entry: WordsAnswer(
            laterality=entry["laterality"],
            prompts={text: prompt_answer(match) for text, match in entry["prompts"].items()},
            prompt_set=set_answer(entry["prompt_set"]),
        ),
    )


def text_vectors(body: JsonDict) -> tuple[TextVector, ...]:
    """Return the vectors of texts, in their order; KeyError or TypeError for a JSON that is none."""
    return each(
        body["texts"],
        lambda entry: TextVector(embedding=vector(entry["embedding"]), unknown_words=tuple(entry["unknown_words"])),
    )


def image_vectors(body: JsonDict) -> ImageVectors:
    """Return the vectors of images; KeyError or TypeError for a JSON that is none."""
    return ImageVectors(
        images=each(
            body["images"],
            lambda entry: ImageVector(
                image=entry["image"],
                laterality=entry["laterality"],
                view=entry["view"],
                embedding=vector(entry["embedding"]),
                findings=findings_of(entry),
            ),
        ),
        left_out=each(body["left_out"], lambda entry: LeftOutImage(**entry)),
        findings=findings_of(body),
        bundle=body["bundle"],
        result_id=body["result_id"],
    )
