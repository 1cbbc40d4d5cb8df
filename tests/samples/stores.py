"""Small stores of random rows, as a run writes them, and what two stores have in common."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from glam.store.planned import PLAN_SCHEMA, shard_marks, shard_spans, write_plan
from glam.store.read import read_errors, read_rows
from glam.store.run_key import RunConfig, RunFacts, RunRecord
from glam.store.schema import KEYS, LeftOut, Problem, Row
from glam.store.write import write_run, write_shard

DIM = 4
RECORD = RunRecord(
    config=RunConfig(
        bundle="b" * 64,
        variant="portable",
        prepare_sha="p" * 64,
        level="breast",
        dtype="float32",
        aggregation="probabilities",
        group_size=8,
        provider="CPUExecutionProvider",
    ),
    facts=RunFacts(
        glam_version="0.1.0",
        bundle_name="tiny",
        bundle_version="1",
        classes={"birads": ["0", "1"], "density": ["a", "b"]},
        dim=DIM,
        may_share=True,
        licence="CC0 1.0",
        notice="research use only, not for diagnosis",
        created="2026-01-31T12:00:00+00:00",
    ),
)


def with_config(**changed: object) -> RunRecord:
    return replace(RECORD, config=replace(RECORD.config, **changed))


def plan_of(exams: Sequence[str], *, shard_size: int = 2) -> pa.Table:
    """Two images, CC and MLO, of the left breast of each exam."""
    rows = [
        {
            "image_id": f"{exam}-{view}",
            "patient_id": f"p-{exam}",
            "exam_id": exam,
            "laterality": "L",
            "view": view,
            "path": f"{exam}/{view}.dcm",
            "spacing_mm": None,
            "image_type": "2D",
            "shard": number // shard_size,
        }
        for number, exam in enumerate(exams)
        for view in ("CC", "MLO")
    ]
    return pa.Table.from_pylist(rows, schema=PLAN_SCHEMA)


def row_of(exam: str, *, used: Sequence[str] = ("CC", "MLO")) -> Row:
    vector = np.random.default_rng(sum(exam.encode())).normal(size=DIM)
    return Row(
        key=(exam, "L"),
        patient_id=f"p-{exam}",
        embedding=vector / np.linalg.norm(vector),
        probabilities={"birads_0": 0.25, "birads_1": 0.75, "density_a": 0.5, "density_b": 0.5},
        calibrated=False,
        images=[f"{exam}-{view}" for view in used],
        left_out=[LeftOut(f"{exam}-{view}", "same_view_twice") for view in ("CC", "MLO") if view not in used],
        codes=["no_spacing"],
    )


def problem_of(exam: str, view: str) -> tuple[tuple[str, ...], Problem]:
    return (exam, "L"), Problem(f"{exam}-{view}", "read", "truncated", "cut short")


def write_store(store: Path, exams: Sequence[str], *, bad: Sequence[str] = (), record: RunRecord = RECORD) -> pa.Table:
    """A store of all shards of some exams; those of `bad` have no image that can be used."""
    store.mkdir(parents=True, exist_ok=True)
    plan = plan_of(exams)
    write_run(store, record)
    write_plan(store, plan, root=store.parent, run_key=record.config.key)
    marks = shard_marks(plan, record.config.key)
    for mark, (start, stop) in zip(marks, shard_spans(plan), strict=True):
        of_shard = sorted(set(plan.column("exam_id").slice(start, stop - start).to_pylist()))
        rows = [row_of(exam) for exam in of_shard if exam not in bad]
        problems = [problem_of(exam, view) for exam in of_shard if exam in bad for view in ("CC", "MLO")]
        write_shard(store, record, mark, rows, problems)
    return plan


def contents(store: Path) -> tuple[list[dict], list[dict]]:
    """Every cell of the rows and of the errors of a store, sorted by key."""
    rows, errors = read_rows(store).to_pylist(), read_errors(store)
    by_key = sorted(rows, key=lambda row: [row[name] for name in KEYS["image"] if name in row])
    return by_key, [] if errors is None else sorted(errors.to_pylist(), key=lambda row: row["image_id"])
