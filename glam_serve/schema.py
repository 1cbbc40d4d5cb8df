"""The published shapes of what the server sends, and of the JSON that it takes."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Severity = Literal["info", "warning"]
Side = Literal["L", "R"]
ViewName = Literal["CC", "MLO"]
Aggregation = Literal["probabilities", "embeddings"]
Probabilities = dict[str, float]
WITHHELD = (
    "null, with the finding embedding_withheld, where the model's licence keeps embeddings on the machine (may_share is"
    " false), unless the server listens on the loopback interface and the request bears no header of a proxy."
)
NO_ATTENTION = "where compares_views is false in /v1/model"
TIMINGS = (
    "Parts of the time of this request or job, in milliseconds: upload, queue (of a job, until its turn), read, wait,"
    " model (of the whole batch), answer."
)
RESULT_ID = "Name of this answer's vectors, for /v1/zero-shot, which needs no image then; good for ten minutes."


class Body(BaseModel):
    """A body that holds what it names and nothing else."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class ErrorBody(Body):
    """The shape of every error."""

    code: str = Field(description="Stable; made for programs.")
    message: str = Field(description="What is wrong and the way out. Never a value of a patient.")
    where: str = Field(description='The part of the request: "cc", "mlo", "prompts" ... or empty.')


class FindingBody(Body):
    """Something about an input that its reader should know."""

    code: str
    severity: Severity
    message: str


class FrameBody(Body):
    """Where the model's square lies in the stored image; pixel i spans i to i + 1."""

    to_square: list[list[float]] = Field(
        description="Row-major 3x3: stored pixel (x, y, 1) -> square (x, y), in 0..size along each axis."
    )
    size: int | tuple[int, int] = Field(description="Side of the square, in pixels; of a rectangle (rows, columns).")
    rows: int
    cols: int


class LandmarksBody(Body):
    """What was seen of the breast's shape, as (x, y) of the stored image; confidences 0 to 1."""

    nipple: tuple[float, float]
    nipple_confidence: float = Field(description="0: none in profile, the foremost point of the skin stands in for it.")
    axis: tuple[tuple[float, float], tuple[float, float]] = Field(description="Chest-nipple axis: foot, nipple.")
    axis_confidence: float
    axis_from: Literal["muscle", "nipple", "usual", "chest wall"] = Field(description="What its angle was taken from.")
    pectoral_line: tuple[tuple[float, float], tuple[float, float]] | None = Field(description="null: none was seen.")


class ViewBody(Body):
    """One view."""

    view: ViewName
    laterality: Side
    birads: Probabilities = Field(description="Of this view alone.")
    density: Probabilities = Field(description="Of this view alone.")
    embedding: list[float] | None = Field(None, description=f"Of length 1. {WITHHELD}")
    frame: FrameBody | None = None
    landmarks: LandmarksBody | None = Field(None, description="With the frame.")
    cells: list[list[list[list[float]]]] | None = Field(
        None,
        description="On request: [row][col], the corners of each region in stored pixels (x, y); null for a model"
        " that has no regions, or whose regions are not tied to a place.",
    )
    findings: list[FindingBody] | None = None
    provenance: dict[str, str] | None = Field(None, description="Source of view, side, spacing and grey values.")


class PromptBody(Body):
    """How well the breast fits one of the caller's sentences."""

    similarity: float = Field(description="Cosine.")
    probability: float = Field(description="Softmax over the caller's prompts.")
    unknown_words: list[str] = Field(description="Words that the model's vocabulary does not hold.")


class AttentionBody(Body):
    """Attention between the regions of the two views, mean of the heads; each innermost list sums to 1."""

    cc_to_mlo: list[list[list[float]]] = Field(description="[col][row of the CC query][row in MLO]")
    mlo_to_cc: list[list[list[float]]] = Field(description="[col][row of the MLO query][row in CC]")


class PoolingBody(Body):
    """Pooling weights of the regions over the patches: base64 of little-endian float16, row-major."""

    cc: str
    mlo: str
    shape: list[int] = Field(description="[region, patch]")


class SetBody(Body):
    """What the classes of a prompt set say."""

    name: str | None = Field(description="null: the classes came with the request.")
    version: str | None
    sha256: str = Field(description="Hash of the content of the set.")
    tasks: dict[str, Probabilities] = Field(description="Task -> class -> probability, not calibrated.")
    unknown_words: list[str]


class RegionBody(Body):
    """A region of one view."""

    view: Literal["cc", "mlo"]
    row: int
    col: int


class MapBody(Body):
    """Where the model looks from a region of one view: a picture to stretch over the other view as stored."""

    query: RegionBody
    over: Literal["cc", "mlo"] = Field(description="The view that the picture belongs on.")
    width: int
    height: int
    top: float = Field(description="Share of the attention that has the last colour.")
    png: str = Field(description="Base64 of a PNG with transparency; nothing of the mammogram is in it.")


class PredictionBody(Body):
    """What the model says of one breast. Research use only, not for diagnosis."""

    laterality: Side
    views: dict[Literal["cc", "mlo"], ViewBody]
    birads: Probabilities = Field(description="Zero-shot probability of each BI-RADS class.")
    density: Probabilities = Field(description="Zero-shot probability of each density class.")
    calibrated: bool = Field(description="Whether these probabilities are calibrated.")
    aggregation: Aggregation = Field(description="What of the two views was averaged.")
    prompts: dict[str, PromptBody]
    prompt_set: SetBody | None
    unknown_words: list[str]
    missing: list[Literal["cc", "mlo"]] = Field(description="Views that were not sent.")
    embedding: list[float] | None = Field(None, description=f"Mean of the views', brought to length 1. {WITHHELD}")
    findings: list[FindingBody] | None = Field(
        None, description="Of the breast. embedding_withheld is told whether or not findings were asked for."
    )
    attention: AttentionBody | None = Field(None, description=f"null for a lone view, and {NO_ATTENTION}.")
    pooling: PoolingBody | None = Field(None, description=f"On request. null for a lone view, and {NO_ATTENTION}.")
    maps: list[MapBody] | None = Field(
        None, description=f"On request: there and back. null for a lone view, and {NO_ATTENTION}."
    )
    bundle: str = Field(description="SHA-256 of the model bundle's bundle.json.")
    variant: str = Field(description="Which of the bundle's graphs answered: portable, fused, int8, fp16 or bf16.")
    prepare_sha: str = Field(description="Hash of the parameters of the preparation.")
    notice: str
    result_id: str | None = Field(None, description=RESULT_ID)
    timings_ms: dict[str, float] | None = Field(None, description=TIMINGS)


class UsedBody(Body):
    """An image that is used, and as what."""

    image: int = Field(description="Its number in the request, from 1.")
    laterality: Side
    view: ViewName


class LeftOutBody(Body):
    """An image that is not used, and why."""

    image: int = Field(description="Its number in the request, from 1.")
    code: str
    message: str


class ExamBody(Body):
    """What the model says of an exam. Research use only, not for diagnosis."""

    breasts: dict[Side, PredictionBody]
    birads: Probabilities = Field(description="Mean of the breasts'.")
    density: Probabilities = Field(description="Mean of the breasts'.")
    calibrated: bool
    aggregation: Aggregation = Field(description="What of the two views of a breast was averaged.")
    prompt_set: SetBody | None = Field(description="Mean of the breasts'.")
    used: list[UsedBody]
    left_out: list[LeftOutBody]
    missing: list[Literal["L_CC", "L_MLO", "R_CC", "R_MLO"]]
    findings: list[FindingBody] = Field(description="Of the exam; breasts and views carry their own.")
    embedding: list[float] | None = Field(None, description=f"Mean of the breasts', brought to length 1. {WITHHELD}")
    bundle: str
    variant: str = Field(description="Which of the bundle's graphs answered: portable, fused, int8, fp16 or bf16.")
    prepare_sha: str
    notice: str
    result_id: str | None = Field(None, description=RESULT_ID)
    timings_ms: dict[str, float] | None = Field(None, description=TIMINGS)


class JobBody(Body):
    """How far a job is."""

    job_id: str
    state: Literal["queued", "running", "done", "failed"]
    answer: PredictionBody | ExamBody | None = Field(description="Of a job that is done.")
    error: ErrorBody | None = Field(description="Of a job that failed.")


class AliveBody(Body):
    """That the server lives."""

    status: Literal["alive"]


class ReadyBody(Body):
    """That the server takes requests."""

    status: Literal["ready"]
    workers_ready: int = Field(description="Workers that have loaded the model and give signs of life: 1 at the least.")
    workers: int = Field(description="Workers that there should be.")
