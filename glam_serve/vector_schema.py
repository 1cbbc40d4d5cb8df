"""The published shapes of `/v1/embed/*`, `/v1/zero-shot` and `/v1/similar`."""

from typing import Annotated, Literal

from pydantic import Field

from glam_serve.schema import (
    RESULT_ID,
    TIMINGS,
    Body,
    FindingBody,
    LeftOutBody,
    Probabilities,
    PromptBody,
    SetBody,
    Side,
    ViewName,
)

MAX_HITS = 100
Vector = Annotated[list[float] | None, Field(description="Of length 1; null where it is withheld.")]


class EmbeddedImageBody(Body):
    """The vector of an image."""

    image: int | None = Field(description="Its number among `images`, from 1; null for cc and mlo.")
    laterality: Side
    view: ViewName
    embedding: Vector
    findings: list[FindingBody]


class EmbeddedImagesBody(Body):
    """The vectors of images."""

    images: list[EmbeddedImageBody]
    left_out: list[LeftOutBody]
    result_id: str = Field(description=RESULT_ID)
    findings: list[FindingBody] = Field(description="embedding_withheld, where it is.")
    bundle: str
    prepare_sha: str
    notice: str
    timings_ms: dict[str, float] = Field(description=TIMINGS)


class EmbedTextsRequest(Body):
    """Texts to embed."""

    texts: list[str] = Field(min_length=1, description="1 to 64.")


class EmbeddedTextBody(Body):
    """The vector of a text."""

    embedding: Vector
    unknown_words: list[str]


class EmbeddedTextsBody(Body):
    """The vectors of texts, in their order."""

    texts: list[EmbeddedTextBody]
    findings: list[FindingBody] = Field(description="embedding_withheld, where it is.")
    bundle: str
    notice: str
    timings_ms: dict[str, float] = Field(description=TIMINGS)


class ZeroShotRequest(Body):
    """Words to hold against an earlier answer, or against vectors."""

    prompts: list[str] | dict[str, object] = Field(
        description='Sentences, or {"set": NAME}, or {"classes": {CLASS: [SENTENCE, ...], ...}}.'
    )
    result_id: str | None = Field(None, description="Of an answer of the last ten minutes. In place of embeddings.")
    embeddings: list[list[float]] | None = Field(None, description="1 to 256 vectors. In place of a result_id.")


class ZeroShotEntryBody(Body):
    """What the words say of a breast, or of a vector."""

    laterality: Side | None = Field(description="null: of a vector that was sent.")
    prompts: dict[str, PromptBody]
    prompt_set: SetBody | None


class ZeroShotBody(Body):
    """One entry a breast of the earlier answer, or a vector that was sent, in their order."""

    answers: list[ZeroShotEntryBody]
    bundle: str
    notice: str
    timings_ms: dict[str, float] = Field(description=TIMINGS)


class SimilarRequest(Body):
    """What cases are to be like: an earlier answer, or vectors."""

    result_id: str | None = Field(None, description="Of an answer of the last ten minutes. In place of embeddings.")
    embeddings: list[list[float]] | None = Field(None, description="1 to 256 vectors. In place of a result_id.")
    k: int = Field(10, description=f"How many cases for each, 1 to {MAX_HITS}.", ge=1, le=MAX_HITS)
    same_patient: bool = Field(False, description="Whether cases of the same patient are wanted too.")


class HitBody(Body):
    """A case of the store: its key there, and what the model said of it."""

    exam_id: str
    laterality: Side | None = Field(description="null: the row is a whole exam.")
    image_id: str | None = Field(description="null: the row is more than one image, or its id is a path.")
    view: ViewName | None = Field(description="Of the image; null where the row is more, or its store's plan lacks it.")
    patient_id: str = Field(description="As the store names the patient.")
    likeness: float = Field(description="Cosine of the embeddings, -1 to 1.")
    birads: Probabilities
    density: Probabilities
    codes: list[str] = Field(description="Of what intake found.")


class SimilarEntryBody(Body):
    """The cases most like a breast, an image, an exam or a vector, best first."""

    laterality: Side | None = Field(description="null: of an exam, or of a vector that was sent.")
    view: ViewName | None = Field(description="null: of more than an image, or of a vector that was sent.")
    hits: list[HitBody]


class StoreBody(Body):
    """The store that a server looks in."""

    level: Literal["image", "breast", "exam"] = Field(description="What a row of it is.")
    rows: int


class SimilarBody(Body):
    """One entry for each row that the earlier answer would be, views in the order CC, MLO, or for each vector."""

    answers: list[SimilarEntryBody]
    patient_known: bool = Field(description="Whether the store knows the patient of the earlier answer by its header.")
    exact: bool = Field(description="Whether every row was compared; false: an index was asked, which may miss some.")
    store: StoreBody
    bundle: str
    notice: str
    timings_ms: dict[str, float] = Field(description=TIMINGS)
