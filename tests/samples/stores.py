"""Small stores of random rows, as a run writes them, and what two stores have in common."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from glam.store.planned import PLAN_SCHEMA, shard_marks, shard_spans, write_plan
from glam.store.read import read_errors, read_rows
from glam.store.run_key import RunConfig, RunFacts, RunRecord
from glam.store.schema import KEYS, LeftOut, Problem, Row, part_name, part_schema, probability_columns
from glam.store.write import write_run, write_shard, write_table

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


def row_of(exam: str, *, used: Sequence[str] = ("CC", "MLO"), dim: int = DIM) -> Row:
    vector = np.random.default_rng(sum(exam.encode())).normal(size=dim)
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
        rows = [row_of(exam, dim=record.facts.dim) for exam in of_shard if exam not in bad]
        problems = [problem_of(exam, view) for exam in of_shard if exam in bad for view in ("CC", "MLO")]
        write_shard(store, record, mark, rows, problems)
    return plan


def contents(store: Path) -> tuple[list[dict], list[dict]]:
    """Every cell of the rows and of the errors of a store, sorted by key."""
    rows, errors = read_rows(store).to_pylist(), read_errors(store)
    by_key = sorted(rows, key=lambda row: [row[name] for name in KEYS["image"] if name in row])
    return by_key, [] if errors is None else sorted(errors.to_pylist(), key=lambda row: row["image_id"])


def clustered(rows: int, dim: int, *, clusters: int = 200, noise: float = 0.7, seed: int = 0) -> np.ndarray:
    """Vectors of length 1 around centres of length 1: (row, dim). `noise`: length of what is added to a centre."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((clusters, dim), dtype=np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    vectors = rng.standard_normal((rows, dim), dtype=np.float32)
    vectors *= np.float32(noise / np.sqrt(dim))
    vectors += centres[rng.integers(clusters, size=rows)]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def write_vectors(store: Path, matrix: np.ndarray, *, shard_size: int = 4096) -> RunRecord:
    """A store of a row an image, two images a patient, by columns: a million rows take seconds."""
    rows, dim = matrix.shape
    facts = replace(RECORD.facts, dim=dim, classes={"birads": list("012"), "density": list("abcd")})
    record = RunRecord(config=replace(RECORD.config, level="image"), facts=facts)
    store.mkdir(parents=True, exist_ok=True)
    place = np.arange(rows)
    ids = {
        "image_id": pc.binary_join_element_wise("i", pc.utf8_lpad(pa.array(place).cast("string"), 8, "0"), ""),
        "patient_id": pc.binary_join_element_wise("p", pc.utf8_lpad(pa.array(place // 2).cast("string"), 8, "0"), ""),
    }
    texts = {
        "image_id": ids["image_id"],
        "patient_id": ids["patient_id"],
        "exam_id": ids["patient_id"],
        "laterality": pa.array(np.array(["L", "R"])[place % 2]),
        "view": pa.array(np.full(rows, "CC")),
        "path": pc.binary_join_element_wise(ids["image_id"], ".dcm", ""),
        "spacing_mm": pa.nulls(rows, pa.float64()),
        "image_type": pa.array(np.array(["2D", "synthetic"])[place // 2 % 2]),
        "shard": pa.array(place // shard_size, pa.int32()),
    }
    plan = pa.table(texts).cast(PLAN_SCHEMA)
    write_run(store, record)
    write_plan(store, plan, root=store.parent, run_key=record.config.key)
    for mark, (start, stop) in zip(shard_marks(plan, record.config.key), shard_spans(plan), strict=True):
        part = _part_of(plan.slice(start, stop - start), matrix[start:stop], record)
        footer = {"rows": part.num_rows, "problems": 0, "may_share": True, "notice": record.facts.notice}
        write_table(store / part_name(mark.shard), part, mark._asdict() | footer)
    return record


def _part_of(images: pa.Table, vectors: np.ndarray, record: RunRecord) -> pa.Table:
    rng = np.random.default_rng(int(images.column("shard")[0].as_py()))
    rows, facts = images.num_rows, record.facts
    names = probability_columns(facts.classes)
    schema = part_schema("image", dim=facts.dim, dtype=record.config.dtype, probabilities=names)
    shares = {
        f"{task}_{name}": column
        for task, classes in facts.classes.items()
        for name, column in zip(classes, rng.dirichlet(np.ones(len(classes)), rows).T.astype(np.float32), strict=True)
    }
    one_each, none = np.arange(rows + 1, dtype=np.int32), np.zeros(rows + 1, np.int32)
    cells = {name: images.column(name).combine_chunks() for name in (*KEYS["image"], "patient_id")}
    embedding = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), type=schema.field("embedding").type)
    columns = {
        **cells,
        "embedding": embedding,
        **{name: pa.array(share) for name, share in shares.items()},
        "calibrated": pa.array(np.zeros(rows, bool)),
        "images": pa.ListArray.from_arrays(one_each, cells["image_id"], type=schema.field("images").type),
        **{
            name: pa.ListArray.from_arrays(
                none, pa.array([], schema.field(name).type.value_type), type=schema.field(name).type
            )
            for name in ("left_out", "missing", "codes")
        },
        **dict.fromkeys(("frames", "landmarks", "provenance"), pa.array(np.full(rows, "{}"))),
    }
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)
