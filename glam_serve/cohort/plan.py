"""Which items a run makes, and in which shards: the same from the same manifest, whatever the order of its rows.

A store keeps its plan. Later runs append what is new as new shards, and refuse items that are not as they were.
"""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from glam.files import below
from glam.store.planned import (
    IMAGE_COLUMNS,
    PLAN_SCHEMA,
    item_starts,
    joined_cells,
    num_items,
    shard_marks,
    shard_spans,
)
from glam.store.schema import KEYS, Key, Level, ShardMark, StoreError
from glam_serve.cohort.items import ImageRow, Item, Shard

FEW_ITEMS = 10_000
SHARD_SIZES = (64, 256)
"""Items of a shard by default: of a cohort below FEW_ITEMS, and of a larger one."""
NAMED = 3
"""Items that an error names."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The images of a store, and how they are cut into items and shards."""

    table: pa.Table
    """As `glam.store.planned` describes it."""
    root: Path
    """Folder that the paths begin at."""
    level: Level
    num_new: int
    """Items that the store did not have."""
    num_gone: int
    """Items of the store that the manifest no longer has: they are kept."""
    locate: Callable[[str], str] | None = None
    """Returns where an image is read from by its path; None: from the file there, below the root."""
    again: Mapping[int, frozenset[Key]] = field(default_factory=dict)
    """Shards that are in the store -> those of their items that are tried again."""

    def shards(self, marks: Sequence[ShardMark]) -> Iterator[Shard]:
        """Yield some shards with their items, one after the other."""
        spans = shard_spans(self.table)
        for mark in marks:
            start, stop = spans[mark.shard]
            rows = self.table.slice(start, stop - start).to_pylist()
            items = tuple(self._items(rows, self.again.get(mark.shard)))
            if items:
                yield Shard(mark.shard, mark.items_sha256, items, amends=mark.shard in self.again)

    def _items(self, rows: list[dict], again: frozenset[Key] | None) -> Iterator[Item]:
        """Yield the items of a shard, or those that are tried again, unless nobody knows any more where they are."""
        for key, images in groupby(rows, key=lambda row: tuple(row[name] for name in KEYS[self.level])):
            if again is not None and key not in again:
                continue
            try:
                item = self._item(key, list(images))
            except StoreError:
                if again is None:
                    raise
                continue
            yield item

    def marks(self, run_key: str) -> list[ShardMark]:
        """Return what the footer of each shard's part has to say."""
        return shard_marks(self.table, run_key)

    def _item(self, key: tuple[str, ...], rows: list[dict]) -> Item:
        images = (
            ImageRow(
                image_id=row["image_id"],
                path=self._place(row["path"]),
                laterality=row["laterality"],
                view=row["view"],
                spacing_mm=row["spacing_mm"],
                image_type=row["image_type"],
            )
            for row in rows
        )
        return Item(key, rows[0]["patient_id"], tuple(images))

    def _place(self, path: str) -> str:
        return below(self.root, path) if self.locate is None else self.locate(path)


def make_plan(
    manifest: pd.DataFrame, there: pa.Table | None, *, root: Path, level: Level, shard_size: int | None = None
) -> Plan:
    """Plan the items of a manifest whose paths begin at `root`, after those that a store has planned before.

    StoreError `item_changed`: an item of the store has other images or other cells in the manifest.
    """
    images = _images(manifest, root)
    old = PLAN_SCHEMA.empty_table() if there is None else there.cast(PLAN_SCHEMA).combine_chunks()
    new, num_gone = _new_rows(images, old, level)
    new = _sorted(new, level)
    starts = item_starts(new, level)
    size = shard_size or SHARD_SIZES[len(starts) + num_items(old, level) >= FEW_ITEMS]
    number = np.repeat(np.arange(len(starts)), np.diff(starts, append=new.num_rows))  # of the item of each row
    first = 1 + int(np.max(old.column("shard").to_numpy(), initial=-1))
    shards = pa.array((first + number // size).astype(np.int32))
    table = pa.concat_tables([old, new.append_column(PLAN_SCHEMA.field("shard"), shards).cast(PLAN_SCHEMA)])
    return Plan(table=table, root=root, level=level, num_new=len(starts), num_gone=num_gone)


def _images(manifest: Any, root: Path) -> pa.Table:
    """Return the columns that decide how an image is read, its path below `root` where it is there."""
    schema = PLAN_SCHEMA.remove(PLAN_SCHEMA.get_field_index("shard"))
    images = pa.Table.from_pandas(manifest, schema=schema, preserve_index=False).combine_chunks()
    place, start = schema.get_field_index("path"), f"{root}{os.sep}"
    paths = images.column(place)
    begins = pc.starts_with(paths, start)  # pyright: ignore[reportAttributeAccessIssue]
    rest = pc.utf8_slice_codeunits(paths, len(start))  # pyright: ignore[reportAttributeAccessIssue]
    below_root = pc.call_function("if_else", [begins, rest, paths])
    return images.set_column(place, schema.field(place), below_root)


def _new_rows(images: pa.Table, old: pa.Table, level: Level) -> tuple[pa.Table, int]:
    """Return the rows of new items and the number of items that are gone; StoreError for one that is not as it was."""
    if old.num_rows == 0:
        return images, 0
    there = pc.SetLookupOptions(joined_cells(old, IMAGE_COLUMNS).combine_chunks())
    place = pc.call_function("index_in", [joined_cells(images, IMAGE_COLUMNS)], there)  # of each image, null: nowhere
    is_gone = np.ones(old.num_rows, bool)
    is_gone[place.drop_null().to_numpy()] = False
    added, gone = images.filter(place.is_null()), old.filter(pa.array(is_gone))
    added_keys, gone_keys = joined_cells(added, KEYS[level]), joined_cells(gone, KEYS[level])
    if added.num_rows + gone.num_rows:
        grown = pc.call_function(
            "or",
            [
                _is_in(added_keys, joined_cells(old, KEYS[level])),
                _is_in(added.column("image_id"), old.column("image_id")),
            ],
        )
        shrunk = _is_in(gone_keys, joined_cells(images, KEYS[level]))
        _refuse({*added_keys.filter(grown).to_pylist(), *gone_keys.filter(shrunk).to_pylist()})
    return added, len(gone_keys.unique())


def _is_in(cells: pa.ChunkedArray, others: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.call_function("is_in", [cells], pc.SetLookupOptions(others.combine_chunks()))


def _refuse(changed: Collection[str]) -> None:
    """StoreError names the items of a store that are not as they were, by their joined keys."""
    if not changed:
        return
    some = ", ".join(key.replace("\0", "/") for key in sorted(changed)[:NAMED])
    others = f" and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
    way_out = "keep the manifest where it was, give new exams ids of their own, or give another --out"
    message = f"{len(changed)} items of the store have other images, paths or cells in the manifest: {some}{others}"
    raise StoreError("item_changed", f"{message}: {way_out}")


def _sorted(images: pa.Table, level: Level) -> pa.Table:
    """Return images in the order of their keys, and of their ids."""
    order = pc.call_function("sort_indices", [joined_cells(images, list(dict.fromkeys([*KEYS[level], "image_id"])))])
    return images.take(order)
