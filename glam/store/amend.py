"""Items of a shard that is in the store, done again: what came of them takes the place of what was there.

An item is only ever replaced by one that uses every image that it used before, so that a second try costs no row.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from glam.store.read import footer, read_table
from glam.store.run_key import RunRecord
from glam.store.schema import (
    KEYS,
    Key,
    Level,
    Problem,
    Row,
    ShardMark,
    StoreError,
    errors_name,
    errors_schema,
    errors_table,
    part_name,
    part_table,
)
from glam.store.write import put_shard, schema_of


def failed_items(
    store: Path, marks: Sequence[ShardMark], level: Level, codes: Collection[str]
) -> dict[int, frozenset[Key]]:
    """Return the items of shards that are done of which an image has one of some codes: shard -> their keys."""
    failed: dict[int, frozenset[Key]] = {}
    for mark in marks:
        path = store / errors_name(mark.shard)
        if not path.exists():
            continue
        table = read_table(path, [*KEYS[level], "code"])
        entries = zip(_keys(table, level), table.column("code").to_pylist(), strict=True)
        if keys := frozenset(key for key, code in entries if code in codes):
            failed[mark.shard] = keys
    return failed


def amend_shard(
    store: Path,
    record: RunRecord,
    mark: ShardMark,
    keys: Collection[Key],
    rows: Sequence[Row],
    problems: Sequence[tuple[Key, Problem]],
) -> None:
    """Put what came of some items of a shard into it, and leave its other items as they are.

    Killed between the errors and the part, the shard counts as not done, because there are fewer errors than the part
    says. StoreError `store_damaged`: so it is already.
    """
    level = record.config.level
    part, errors = read_table(store / part_name(mark.shard)), _errors(store, mark.shard, level)
    if footer(store / part_name(mark.shard)).get("problems") != errors.num_rows:
        message = f"{errors_name(mark.shard)} is not that of {part_name(mark.shard)}"
        raise StoreError("store_damaged", f"{message}: run the same command again, which makes the shard anew")
    before = _images(zip(_keys(errors, level), errors.column("image_id").to_pylist(), strict=True))
    now = _images((key, problem.image_id) for key, problem in problems)
    taken = {key for key in keys if now.get(key, set()) <= before.get(key, set())}
    taken_rows = part_table([row for row in rows if row.key in taken], schema_of(record), level)
    taken_problems = errors_table([entry for entry in problems if entry[0] in taken], level)
    put_shard(
        store, record, mark, _merged(part, taken_rows, taken, level), _merged(errors, taken_problems, taken, level)
    )


def _errors(store: Path, shard: int, level: Level) -> pa.Table:
    path = store / errors_name(shard)
    return read_table(path) if path.exists() else errors_schema(level).empty_table()


def _images(entries: Iterable[tuple[Key, str]]) -> Mapping[Key, set[str]]:
    images: defaultdict[Key, set[str]] = defaultdict(set)
    for key, image in entries:
        images[key].add(image)
    return images


def _merged(there: pa.Table, taken_table: pa.Table, taken: Collection[Key], level: Level) -> pa.Table:
    """Return a table with some items replaced, in the order of the plan."""
    kept = there.filter(pa.array([key not in taken for key in _keys(there, level)], pa.bool_()))
    table = pa.concat_tables([kept.replace_schema_metadata(None), taken_table])
    cells = [table.column(name) for name in KEYS[level]]
    joined = pc.binary_join_element_wise(*cells, "\0")  # pyright: ignore[reportAttributeAccessIssue]
    return table.take(pc.sort_indices(joined))  # pyright: ignore[reportAttributeAccessIssue]


def _keys(table: pa.Table, level: Level) -> list[Key]:
    return list(zip(*(table.column(name).to_pylist() for name in KEYS[level]), strict=True))
