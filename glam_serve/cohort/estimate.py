"""What a run would do and how long it would take, by the first few items that it has to do. Writes nothing."""

import os
import time
from pathlib import Path
from typing import Any

from glam.files import URL
from glam.store.planned import num_items
from glam.store.run_key import RunRecord
from glam_serve.cohort.embed import Cohort, planned
from glam_serve.cohort.items import Item
from glam_serve.cohort.progress import duration
from glam_serve.cohort.runner import Runner

TIMED_ITEMS = 6


def estimate(
    cohort: Cohort, store: Path, record: RunRecord, runner: Runner | None, shard_size: int | None
) -> dict[str, Any]:
    """Return counts of what is there and to do, as JSON types, and seconds an item of reading and of the model.

    The total counts on every core of this machine for both, and on no other work. Without a runner nothing is read:
    times and missing images are None.
    """
    work = planned(cohort, store, record, shard_size=shard_size)
    first: list[Item] = []
    count = missing = 0
    for shard in work.plan.shards(work.pending):
        first += shard.items[: TIMED_ITEMS - len(first)]
        count += len(shard.items)
        if runner is not None:
            paths = [image.path for item in shard.items for image in item.images]
            missing += sum(not URL.match(path) and not Path(path).exists() for path in paths)
    counts = {
        "level": record.config.level,
        "images": work.plan.table.num_rows,
        "items": num_items(work.plan.table, record.config.level),
        "items_to_do": count,
        "shards": len(work.marks),
        "shards_to_do": len(work.pending),
        "items_new": work.plan.num_new,
        "items_gone": work.plan.num_gone,
        "files_rejected": len(cohort.rejected),
    }
    if runner is None:
        return counts | {"images_missing": None, "seconds_an_item": None, "estimated": None}
    read_s, model_s = _seconds_an_item(first, runner)
    cores = os.cpu_count() or 1
    seconds = count * max(read_s / min(runner.workers, cores), model_s, (read_s + model_s) / cores)
    return counts | {
        "images_missing": missing,
        "seconds_an_item": {"read": round(read_s, 3), "model": round(model_s, 3)},
        "estimated": duration(seconds),
    }


def _seconds_an_item(items: list[Item], runner: Runner) -> tuple[float, float]:
    """Return the time that reading and the model take for an item; 0 where there is none."""
    times, good = [time.monotonic()], []
    for item, prepared in zip(items, runner.prepared(items), strict=True):
        times.append(time.monotonic())
        if prepared.exam is not None:
            good.append((item, prepared, prepared.exam))
    measured = times[1:] if len(items) > 1 else times  # the first item waits for the start of a process
    start = time.monotonic()
    if good:
        runner.rows_of(good)
    model_s = (time.monotonic() - start) / max(len(good), 1)
    return (measured[-1] - measured[0]) / max(len(measured) - 1, 1), model_s
