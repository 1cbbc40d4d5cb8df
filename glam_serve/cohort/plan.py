"""Which items a run makes, and in which shards: the same from the same manifest, whatever the order of its rows.

A store keeps its plan. Later runs append what is new as new shards, and refuse items that are not as they were.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from glam.files import below
from glam.store.planned import IMAGE_COLUMNS, PLAN_SCHEMA, shard_marks, shard_spans
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
    old = (PLAN_SCHEMA.empty_table() if there is None else there).to_pandas()
    new, num_gone = _new_rows(images, old, level)
    new = _sorted(new, level)
    starts = _starts(new, level)
    size = shard_size or SHARD_SIZES[len(starts) + len(_starts(old, level)) >= FEW_ITEMS]
    number = np.searchsorted(starts, np.arange(len(new)), side="right") - 1  # of the item of each row
    first = 0 if old.empty else int(np.max(old["shard"].to_numpy())) + 1
    new["shard"] = (first + number // size).astype(np.int32)
    table = pa.concat_tables([_table(old), _table(new)])
    return Plan(table=table, root=root, level=level, num_new=len(starts), num_gone=num_gone)


def _new_rows(images: Any, old: Any, level: Level) -> tuple[pd.DataFrame, int]:
    """Return the rows of new items and the number of items that are gone; StoreError for one that is not as it was."""
    keys = list(KEYS[level])
    place = pd.Index(old["image_id"]).get_indexer(pd.Index(images["image_id"]))  # in `old`, of each image; -1: nowhere
    is_known = place >= 0
    is_known[is_known] = _equal(images[is_known], old.iloc[place[is_known]])
    added, gone = images[~is_known], old[~np.isin(np.arange(len(old)), place[is_known])]
    if len(old) == 0 or len(added) + len(gone) == 0:
        return added, 0
    added_keys, gone_keys = _index(added, keys), _index(gone, keys)
    grown = added_keys.isin(_index(old, keys)) | np.isin(added["image_id"], old["image_id"])
    shrunk = gone_keys.isin(_index(images, keys))
    if changed := sorted({*added_keys[grown], *gone_keys[shrunk]}):
        some = ", ".join("/".join(key) for key in changed[:NAMED])
        others = f" and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
        way_out = "keep the manifest where it was, give new exams ids of their own, or give another --out"
        message = f"{len(changed)} items of the store have other images, paths or cells in the manifest: {some}{others}"
        raise StoreError("item_changed", f"{message}: {way_out}")
    return added, len(gone_keys.unique())


def _equal(images: Any, others: Any) -> np.ndarray:
    """Return which rows of two tables of images are alike; an empty cell equals another."""
    alike = np.ones(len(images), bool)
    for name in IMAGE_COLUMNS:
        cells, other_cells = images[name].array, others[name].array
        equal = np.asarray(cells == other_cells, bool)
        alike &= equal | (np.asarray(cells.isna()) & np.asarray(other_cells.isna()))
    return alike


def _index(rows: Any, keys: list[str]) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(rows[keys])


def _images(manifest: Any, root: Path) -> pd.DataFrame:
    """Return the columns that decide how an image is read, its path below `root` where it is there."""
    images = manifest[list(IMAGE_COLUMNS)]
    return images.assign(path=images["path"].str.removeprefix(f"{root}{os.sep}"))


def _sorted(rows: Any, level: Level) -> pd.DataFrame:
    """Return rows in the order of their keys, and of the ids of their images: no cell has a NUL character in it."""
    names = dict.fromkeys([*KEYS[level], "image_id"])
    cells = [pa.array(rows[name], pa.string()) for name in names]
    joined = pc.binary_join_element_wise(*cells, "\0")  # pyright: ignore[reportAttributeAccessIssue]
    order = pc.sort_indices(joined)  # pyright: ignore[reportAttributeAccessIssue]
    return rows.iloc[order.to_numpy()].reset_index(drop=True)


def _table(rows: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(rows, schema=PLAN_SCHEMA, preserve_index=False)


def _starts(rows: Any, level: Level) -> np.ndarray:
    """Return the place of the first row of every item; the rows of an item follow each other."""
    keys = rows[list(KEYS[level])]
    return np.flatnonzero((keys != keys.shift()).any(axis=1).to_numpy())
