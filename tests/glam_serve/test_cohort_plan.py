"""The plan of a cohort: the same from the same rows in any order; new items are appended, changed ones refused."""

import hashlib
import math
import random
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from glam.manifest.table import read_manifest
from glam.store.planned import IMAGE_COLUMNS, num_items
from glam.store.schema import KEYS, Level, StoreError
from glam_serve.cohort.plan import Plan, make_plan

ROOT = Path("data")


def images(exams: list[str], sides: str = "LR", views: tuple[str, ...] = ("CC", "MLO")) -> list[dict[str, Any]]:
    return [
        {
            "image_id": f"{exam}-{side}-{view}",
            "patient_id": f"p-{exam}",
            "exam_id": exam,
            "laterality": side,
            "view": view,
            "path": f"{exam}/{side}_{view}.dcm",
        }
        for exam in exams
        for side in sides
        for view in views
    ]


def planned(rows: list[dict[str, Any]], folder: Path, before: Plan | None = None, **options: Any) -> Plan:
    file = folder / "manifest.csv"
    pd.DataFrame(rows).to_csv(file, index=False)
    there = None if before is None else before.table
    return make_plan(read_manifest(file), there, root=folder, **({"level": "breast"} | options))


def keys(plan: Plan) -> list[list[tuple[str, ...]]]:
    return [[item.key for item in shard.items] for shard in plan.shards(plan.marks("run"))]


def test_breasts_are_cut_into_shards_in_the_order_of_their_keys(tmp_path: Path):
    plan = planned(images(["b", "a", "c"]), tmp_path, shard_size=4)
    assert keys(plan) == [[("a", "L"), ("a", "R"), ("b", "L"), ("b", "R")], [("c", "L"), ("c", "R")]]
    assert (num_items(plan.table, "breast"), plan.num_new, plan.num_gone) == (6, 6, 0)


@pytest.mark.parametrize(("level", "key", "num_images"), [("exam", ("a",), 4), ("image", ("a", "L", "a-L-CC"), 1)])
def test_an_item_is_what_the_level_says(tmp_path: Path, level: str, key: tuple[str, ...], num_images: int):
    plan = planned(images(["a"]), tmp_path, level=level)
    first = next(plan.shards(plan.marks("run"))).items[0]
    assert first.key == key
    assert len(first.images) == num_images
    assert first.images[0].path == str(tmp_path / "a/L_CC.dcm")
    assert first.images[0].spacing_mm is None


def test_the_plan_does_not_hang_on_the_order_of_the_rows(tmp_path: Path):
    rows = images([f"e{number}" for number in range(9)])
    plan = planned(rows, tmp_path, shard_size=4)
    random.Random(1).shuffle(rows)
    assert planned(rows, tmp_path, shard_size=4).marks("run") == plan.marks("run")


def test_a_store_that_has_everything_gets_nothing_new(tmp_path: Path):
    before = planned(images(["a", "b"]), tmp_path, shard_size=2)
    plan = planned(images(["b", "a"]), tmp_path, before, shard_size=3)
    assert plan.marks("run") == before.marks("run")
    assert plan.num_new == 0


def test_new_exams_become_new_shards_wherever_they_are_sorted(tmp_path: Path):
    before = planned(images(["b", "d"]), tmp_path, shard_size=3)
    plan = planned(images(["a", "b", "c", "d"]), tmp_path, before, shard_size=3)
    assert plan.marks("run")[:2] == before.marks("run")
    assert keys(plan)[2:] == [[("a", "L"), ("a", "R"), ("c", "L")], [("c", "R")]]
    assert plan.num_new == 4
    again = planned(images(["a", "b", "c", "d", "e"]), tmp_path, plan, shard_size=3)
    assert keys(again)[4:] == [[("e", "L"), ("e", "R")]]


def test_items_that_are_gone_are_kept_and_counted(tmp_path: Path):
    before = planned(images(["a", "b"]), tmp_path)
    plan = planned(images(["b"]), tmp_path, before)
    assert plan.marks("run") == before.marks("run")
    assert plan.num_gone == 2


@pytest.mark.parametrize(
    "change",
    [{"path": "a/other.dcm"}, {"patient_id": "p-b"}, {"spacing_mm": "0.07"}, {"image_type": "2D"}, {"view": "MLO"}],
)
def test_an_item_whose_cells_changed_is_refused_by_name(tmp_path: Path, change: dict[str, str]):
    rows = images(["a", "b"])
    before = planned(rows, tmp_path)
    changed = [{**rows[0], **change}, *rows[1:]]
    if "patient_id" in change:
        changed = [{**row, **change} if row["exam_id"] == "a" else row for row in rows]
    with pytest.raises(StoreError, match="a/L") as caught:
        planned(changed, tmp_path, before)
    assert caught.value.code == "item_changed"


@pytest.mark.parametrize("number", [3, 5])
def test_an_item_that_lost_or_got_an_image_is_refused(tmp_path: Path, number: int):
    before = planned(images(["a"], views=("CC", "MLO"))[:4], tmp_path)
    rows = images(["a"])[:3] if number == 3 else [*images(["a"]), {**images(["a"])[0], "image_id": "another"}]
    with pytest.raises(StoreError, match="1 items of the store have other images, paths"):
        planned(rows, tmp_path, before)


def test_an_image_that_moved_to_another_exam_is_refused(tmp_path: Path):
    before = planned(images(["a", "b"]), tmp_path)
    rows = [{**row, "exam_id": "c"} if row["exam_id"] == "a" else row for row in images(["a", "b"])]
    with pytest.raises(StoreError, match="c/L"):
        planned(rows, tmp_path, before)


def test_many_changed_items_are_counted_and_the_first_ones_named(tmp_path: Path):
    rows = images([f"e{number}" for number in range(5)], sides="L")
    before = planned(rows, tmp_path)
    with pytest.raises(StoreError, match=r"5 items .* e0/L, e1/L, e2/L and 2 more"):
        planned([{**row, "path": "x.dcm"} for row in rows], tmp_path, before)


def test_images_may_move_with_their_manifest(tmp_path: Path):
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    before = planned(images(["a"]), tmp_path / "here")
    plan = planned(images(["a"]), tmp_path / "there", before)
    assert plan.marks("run") == before.marks("run")
    assert next(plan.shards(plan.marks("run"))).items[0].images[0].path == str(tmp_path / "there/a/L_CC.dcm")


def test_a_path_outside_the_folder_of_the_manifest_stays_as_it_is(tmp_path: Path):
    plan = planned([{**images(["a"])[0], "path": "/elsewhere/a.dcm"}], tmp_path)
    assert next(plan.shards(plan.marks("run"))).items[0].images[0].path == "/elsewhere/a.dcm"


Cells = tuple[Any, ...]
"""Of a row, in the order of IMAGE_COLUMNS."""


def varied(rng: random.Random, folder: Path) -> list[dict[str, Any]]:
    """Images whose names sort otherwise by words than by bytes, with gaps, repeated views and paths of every kind."""
    rows = []
    for number in range(rng.choice([1, 3, 30])):
        exam = (
            rng.choice(["é", "z", "A", "a", "_", "日", "-", "\U0001d54f", ""])
            + str(number % 7)
            + rng.choice(["", "x", "xy"])
        )
        for row in images([f"{exam}{number}"], views=("CC", "MLO", "CC")[: rng.choice([1, 2, 3])]):
            name = f"{row['image_id']}{rng.choice(['', '/', 'é'])}{len(rows)}"
            places = (name, f"/abs/{name}", f"s3://b/{name}", str(folder / name), f"{folder}é{name}")
            cells = {"spacing_mm": rng.choice([None, 0.07, 0.1, 0.0942]), "image_type": rng.choice(["", "2D"])}
            rows.append(row | cells | {"image_id": name, "path": rng.choice(places)})
    return rows


def cells_of(row: dict[str, Any], folder: Path) -> Cells:
    path = str(row["path"])
    own = path if path.startswith(("/", "s3://")) else str(folder / path)
    cells = row | {"path": own.removeprefix(f"{folder}/")}
    return tuple(cells[name] for name in IMAGE_COLUMNS)


def planned_row_by_row(rows: list[Cells], there: list[list[Cells]], level: Level, size: int) -> list[list[Cells]]:
    """The shards of a plan, by tuples and Python's own sort."""

    def key(row: Cells) -> tuple[str, ...]:
        return tuple(row[IMAGE_COLUMNS.index(name)] for name in KEYS[level])

    known = {row for shard in there for row in shard}
    new = sorted((row for row in rows if row not in known), key=lambda row: (*key(row), row[0]))
    items = [list(group) for _, group in groupby(new, key=key)]
    return there + [list(chain.from_iterable(items[start : start + size])) for start in range(0, len(items), size)]


def digest(shard: list[Cells]) -> str:
    texts = [["" if cell is None else cell if isinstance(cell, str) else repr(cell) for cell in row] for row in shard]
    return hashlib.sha256("\0".join("\0".join(row) for row in texts).encode()).hexdigest()


@pytest.mark.parametrize("seed", range(24))
def test_plans_in_columns_are_those_made_row_by_row(tmp_path: Path, seed: int):
    rng = random.Random(seed)
    rows, level, size = varied(rng, tmp_path), rng.choice(["image", "breast", "exam"]), rng.choice([1, 3, 7])
    exams = sorted({row["exam_id"] for row in rows})
    first = set(rng.sample(exams, len(exams) // 2))
    plan, expected = None, list[list[Cells]]()
    for some in ([row for row in rows if row["exam_id"] in first], rows, list(rows)):
        if not some:
            continue
        rng.shuffle(some)
        file = tmp_path / "manifest.parquet"
        pd.DataFrame(some).assign(spacing_mm=[row["spacing_mm"] or math.nan for row in some]).to_parquet(file)
        there = None if plan is None else plan.table
        plan = make_plan(read_manifest(file), there, root=tmp_path, level=level, shard_size=size)
        expected = planned_row_by_row([cells_of(row, tmp_path) for row in some], expected, level, size)
        marks = plan.marks("run")
        assert [mark.items_sha256 for mark in marks] == [digest(shard) for shard in expected]
        found = [tuple(row[name] for name in IMAGE_COLUMNS) for row in plan.table.to_pylist()]
        assert found == [row for shard in expected for row in shard]


def test_the_digests_of_shards_stay_those_that_stores_have_in_them(tmp_path: Path):
    rows = images(["é", "a", "b-1", "b"])
    for number, row in enumerate(rows):
        row |= {"spacing_mm": ["", "0.07", "1e-1"][number % 3], "image_type": ["", "2D"][number % 2]}
    digests = [mark.items_sha256[:12] for mark in planned(rows, tmp_path, shard_size=3).marks("run")]
    assert digests == ["81b505fec06d", "7b384aa208e1", "4d2d92978b07"]
