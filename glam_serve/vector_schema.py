"""The published shapes of `/v1/embed/*` and `/v1/zero-shot`."""

from typing import Annotated

from pydantic import Field

from glam_serve.schema import RESULT_ID, TIMINGS, Body, FindingBody, LeftOutBody, PromptBody, SetBody, Side, ViewName

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
