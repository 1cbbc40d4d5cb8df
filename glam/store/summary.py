"""What a store holds, and what became of every image that it was made from."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glam.store.planned import num_items, read_plan
from glam.store.read import part_files, read_success, read_table
from glam.store.run_key import read_run
from glam.store.schema import KEYS, MISSING_FILE, REJECTED_FILE


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Counts of a store; every planned image is in exactly one of those of `images`."""

    complete: bool
    level: str
    items: int
    """Planned."""
    rows: int
    shards: int
    """Planned."""
    shards_done: int
    images: int
    """Planned."""
    embedded: int
    left_out: dict[str, int]
    """Code -> images that could be used and were not, as one of two that show the same view."""
    rejected: dict[str, int]
    """Code -> images that could not be used."""
    missing: int
    """Images whose file is not there."""
    not_done: int
    """Images of shards that are still to do."""
    files_rejected: dict[str, int]
    """Code -> files of a folder that were not planned: no mammograms, damaged ones, copies."""
    notice: str

    @property
    def failed(self) -> int:
        """Images that could not be used, missing ones included."""
        return sum(self.rejected.values()) + self.missing

    def as_json(self) -> dict[str, Any]:
        """Return JSON types."""
        return dict(vars(self))


def summarise(store: Path) -> Summary:
    """Return the counts of a store; StoreError where there is none."""
    run = read_run(store)
    plan = read_plan(store, [*KEYS[run.config.level], "shard"])
    rows = embedded = done = 0
    left_out, problems = Counter[str](), Counter[str]()
    for path in part_files(store):
        part = read_table(path, ["images", "left_out"])
        done, rows = done + 1, rows + part.num_rows
        embedded += len(part.column("images").combine_chunks().flatten())
        left_out.update(entry["code"] for entry in part.column("left_out").combine_chunks().flatten().to_pylist())
        errors = path.with_name(path.name.replace("part-", "errors-"))
        if errors.exists():
            problems.update(_codes(errors))
    missing, planned = problems.pop(MISSING_FILE, 0), 0 if plan is None else plan.num_rows
    fates = embedded + left_out.total() + problems.total() + missing
    return Summary(
        complete=read_success(store) is not None,
        level=run.config.level,
        items=0 if plan is None else num_items(plan, run.config.level),
        rows=rows,
        shards=0 if not planned or plan is None else plan.column("shard")[-1].as_py() + 1,
        shards_done=done,
        images=planned,
        embedded=embedded,
        left_out=dict(sorted(left_out.items())),
        rejected=dict(sorted(problems.items())),
        missing=missing,
        not_done=planned - fates,
        files_rejected=dict(sorted(Counter(_codes(store / REJECTED_FILE)).items())),
        notice=run.facts.notice,
    )


def _codes(path: Path) -> list[str]:
    return read_table(path, ["code"]).column("code").to_pylist() if path.exists() else []
