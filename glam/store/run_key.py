"""What a store was made with: the configuration that decides its content, and what is told beside it."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from glam.files import json_object
from glam.store.schema import RUN_FILE, STORE_FORMAT, DType, Level, StoreError

MAX_DIM = 1 << 16
"""Most numbers of an embedding."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The configuration that decides what the rows hold: two runs of the same one may share a store."""

    bundle: str
    """SHA-256 of bundle.json."""
    variant: str
    """Graphs of the bundle."""
    prepare_sha: str
    level: Level
    dtype: DType
    aggregation: Literal["probabilities", "embeddings"]
    """What of several images is averaged."""
    group_size: int
    """Items that run through the model together: the shape of a batch moves the last bits."""
    provider: str
    """ONNX Runtime's execution provider."""

    @property
    def key(self) -> str:
        """SHA-256 of the configuration and the format."""
        text = json.dumps({"format": STORE_FORMAT, **asdict(self)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What is told of a run and does not decide the content of its rows."""

    glam_version: str
    bundle_name: str
    bundle_version: str
    classes: dict[str, list[str]]
    """Task -> its class names."""
    dim: int
    """Numbers of an embedding."""
    may_share: bool
    """False: the embeddings stay on this machine."""
    licence: str
    notice: str
    created: str
    """UTC, ISO 8601."""

    def __post_init__(self) -> None:
        if type(self.dim) is not int or not 1 <= self.dim <= MAX_DIM:
            raise ValueError(f"dim {self.dim!s:.20} is not a whole number from 1 to {MAX_DIM}")


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What run.json holds."""

    config: RunConfig
    facts: RunFacts

    def as_json(self) -> dict[str, Any]:
        """Return JSON types that `read_run` takes."""
        return {
            "format": STORE_FORMAT,
            "run_key": self.config.key,
            "config": asdict(self.config),
            **asdict(self.facts),
        }


def read_run(store: Path) -> RunRecord:
    """Return what a store was made with; StoreError where there is none, or one that this program cannot read."""
    path = store / RUN_FILE
    if not path.is_file():
        raise StoreError("no_store", f"no store at {store}: make one with glam-embed run --out {store}")
    try:
        content = json_object(path.read_bytes())
        version = content.pop("format")
        if version != STORE_FORMAT:
            message = f"{store} has store format {version}, and this program reads {STORE_FORMAT}"
            raise StoreError("store_format", f"{message}: use the glam-mammo that wrote it, or run anew elsewhere")
        key = content.pop("run_key")
        record = RunRecord(config=RunConfig(**content.pop("config")), facts=RunFacts(**content))
    except StoreError:
        raise
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError("store_damaged", f"{path} does not read as a run: {error}") from None
    if key != record.config.key:
        raise StoreError("store_damaged", f"{path} was changed: its run key is not that of its configuration")
    return record


def check_same_run(store: Path, there: RunConfig, asked: RunConfig) -> None:
    """Refuse to mix rows of two configurations: StoreError `other_run` says what differs."""
    old, new = asdict(there), asdict(asked)
    differing = [f"{name} is {old[name]} there and {new[name]} here" for name in old if old[name] != new[name]]
    if differing:
        way_out = "give another --out, or the options that the store was made with"
        raise StoreError("other_run", f"{store} holds another run: {'; '.join(differing)}: {way_out}")
