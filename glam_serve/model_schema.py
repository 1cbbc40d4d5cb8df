"""The published shape of what a server says of its model."""

from typing import Literal

from pydantic import Field

from glam_serve.schema import WITHHELD, Body


class ModelBody(Body):
    """What answers here, what it saw, and what it may be used for."""

    name: str
    version: str
    bundle: str = Field(description="SHA-256 of bundle.json.")
    variant: str = Field(description="Which of the bundle's graphs answers: portable, fused, int8, fp16 or bf16.")
    prepare_sha: str
    classes: dict[str, list[str]]
    image_size: int | tuple[int, int] = Field(
        description="Side of the model's square, in pixels; of a rectangle its rows and columns."
    )
    frame: dict[str, object] = Field(description="How a mammogram is laid into it: the fields of glam.FrameConfig.")
    grid: int | tuple[int, int] = Field(description="Patches along a side; of a rectangle rows and columns of them.")
    compares_views: bool = Field(
        description="false: the model has no alignment module; attention, pooling, cells and maps are null."
    )
    side: int | None = Field(description="Regions along a side; null without an alignment module.")
    pooling: Literal["anchored", "free", "average"] | None = Field(
        description="free: a region is not tied to its place; null without an alignment module."
    )
    keys: Literal["slice", "band", "all"] | None = Field(
        description="What a region is compared with in the other view. slice: its own slice; band: all slices, near"
        " ones most; all: all slices alike. A weight is that of the row in these slices. null without an alignment"
        " module."
    )
    joint_dim: int
    calibrated: list[str] = Field(description="Tasks whose probabilities are calibrated.")
    provenance: dict[str, object]
    metrics: dict[str, object]
    may_serve: bool = Field(description="false: on the loopback interface only.")
    may_share: bool = Field(description=f"false: embeddings stay on the machine. {WITHHELD}")
    embeddings: Literal["sent", "to this machine only", "withheld"] = Field(
        description="What this server, as it is bound, does with the embeddings."
    )
    store: dict[str, object] | None = Field(None, description="Level and rows of the store of /v1/similar, if any.")
    notice: str
