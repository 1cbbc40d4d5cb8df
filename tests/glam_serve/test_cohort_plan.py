"""The plan of a cohort: the same from the same rows in any order; new items are appended, changed ones refused."""

import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from glam.manifest.table import read_manifest
from glam.store.planned import num_items
from glam.store.schema import StoreError
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
