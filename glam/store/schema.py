"""The format of a store: its files, the columns of each, and the row that becomes one of a part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa

STORE_FORMAT = 1
"""Raised when a reader of the older format would misunderstand a store."""
Level = Literal["image", "breast", "exam"]
"""What becomes a row."""
DType = Literal["float32", "float16"]
"""How the numbers of an embedding are kept."""
KEYS: Mapping[Level, tuple[str, ...]] = {
    "image": ("exam_id", "laterality", "image_id"),
    "breast": ("exam_id", "laterality"),
    "exam": ("exam_id",),
}
"""Columns that name a row, of each level."""
Key = tuple[str, ...]
"""The values of those columns."""
FOOTER_KEY = b"glam"
"""Key of the JSON in the metadata of every Parquet file of a store."""

MISSING_FILE = "missing_file"
"""Code of an image whose file is not there; summaries count it apart."""

RUN_FILE = "run.json"
MANIFEST_FILE = "manifest.parquet"
REJECTED_FILE = "rejected.parquet"
SUCCESS_FILE = "_SUCCESS"
SUMMARY_FILE = "summary.json"
INDEX_FILE = "index.hnsw"
LOCK_FILE = ".lock"
SALT_FILE = ".salt"
"""What the identifiers of the patients of a folder or a PACS are hashed with."""
PACS_FILE = ".pacs"
"""Which studies and images of a PACS the names in the manifest stand for, a line a study."""


class StoreError(ValueError):
    """A store that cannot be used as asked; `code` is stable: other_run, item_changed, store_in_use, no_store, ..."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Problem(NamedTuple):
    """An image that could not be used."""

    image_id: str
    stage: Literal["fetch", "read", "pair", "prepare", "crash", "timeout"]
    code: str
    message: str


class LeftOut(NamedTuple):
    """An image that could be used and was not, and why."""

    image_id: str
    code: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """What is kept of an image, a breast or an exam."""

    key: Key
    patient_id: str
    embedding: np.ndarray
    """(dim,), of length 1."""
    probabilities: Mapping[str, float]
    """Name of a column, such as birads_0 -> probability."""
    calibrated: bool
    images: Sequence[str]
    """Ids of the images that were used."""
    left_out: Sequence[LeftOut] = ()
    missing: Sequence[str] = ()
    """Views that were not there or could not be used."""
    codes: Sequence[str] = ()
    """Codes of what intake found, sorted."""
    frames: str = "{}"
    """JSON: image_id -> Frame. So are the next two."""
    landmarks: str = "{}"
    provenance: str = "{}"


class ShardMark(NamedTuple):
    """What the footer of a part says of itself."""

    run_key: str
    shard: int
    items_sha256: str
    """Of the items that were planned for the shard, with all their images."""


def part_name(shard: int) -> str:
    """Return the name of the file with the rows of a shard."""
    return f"part-{shard:06d}.parquet"


def errors_name(shard: int) -> str:
    """Return the name of the file with the images of a shard that could not be used."""
    return f"errors-{shard:06d}.parquet"


def probability_columns(classes: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return a column's name for every class of the reported tasks, in the bundle's order."""
    return tuple(f"{task}_{name}" for task in ("birads", "density") for name in classes.get(task, ()))


def part_schema(level: Level, *, dim: int, dtype: DType, probabilities: Sequence[str]) -> pa.Schema:
    """Return the columns of a part; nothing in it is ever null."""
    left_out = pa.struct([pa.field("image_id", pa.string(), False), pa.field("code", pa.string(), False)])
    number = pa.float32() if dtype == "float32" else pa.float16()
    kinds = {
        **dict.fromkeys((*KEYS[level], "patient_id"), pa.string()),
        "embedding": pa.list_(pa.field("element", number, False), dim),
        **dict.fromkeys(probabilities, pa.float32()),
        "calibrated": pa.bool_(),
        "images": _list(pa.string()),
        "left_out": _list(left_out),
        "missing": _list(pa.string()),
        "codes": _list(pa.string()),
        **dict.fromkeys(("frames", "landmarks", "provenance"), pa.string()),
    }
    return pa.schema([pa.field(name, kind, False) for name, kind in kinds.items()])


def errors_schema(level: Level) -> pa.Schema:
    """Return the columns of a file of errors: a row an image that could not be used."""
    names = dict.fromkeys((*KEYS[level], *Problem._fields))
    return pa.schema([pa.field(name, pa.string(), False) for name in names])


def part_table(rows: Sequence[Row], schema: pa.Schema, level: Level) -> pa.Table:
    """Return rows as a table of a part."""
    columns = [_column(name, rows, schema, level) for name in schema.names]
    return pa.Table.from_arrays(columns, schema=schema)


def _column(name: str, rows: Sequence[Row], schema: pa.Schema, level: Level) -> pa.Array:
    kind = schema.field(name).type
    if name == "embedding":
        numbers = np.zeros((len(rows), kind.list_size), kind.value_type.to_pandas_dtype())
        for place, row in enumerate(rows):
            numbers[place] = row.embedding
        return pa.FixedSizeListArray.from_arrays(pa.array(numbers.ravel(), kind.value_type), type=kind)
    if name in KEYS[level]:
        return pa.array([row.key[KEYS[level].index(name)] for row in rows], kind)
    if name == "left_out":
        return pa.array([[entry._asdict() for entry in row.left_out] for row in rows], kind)
    if name in Row.__dataclass_fields__:
        return pa.array([getattr(row, name) for row in rows], kind)
    return pa.array([row.probabilities[name] for row in rows], kind)


def errors_table(problems: Sequence[tuple[Key, Problem]], level: Level) -> pa.Table:
    """Return problems as a table; at the level of images the image's id is both key and cell."""
    records = [dict(zip(KEYS[level], key, strict=True)) | problem._asdict() for key, problem in problems]
    return pa.Table.from_pylist(records, schema=errors_schema(level))


def _list(kind: pa.DataType) -> pa.ListType:
    return pa.list_(pa.field("element", kind, False))
