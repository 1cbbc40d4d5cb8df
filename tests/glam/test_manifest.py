"""The manifest: what is read, what is refused and how it says so, splits that cannot leak, pairs of views."""

import csv
import random
import time
from pathlib import Path

import pandas as pd
import pytest

from glam.manifest.rules import COLUMNS, NAMES
from glam.manifest.table import (
    ManifestError,
    _joined,
    assign_splits,
    check_leakage,
    pairs,
    patient_split,
    read_manifest,
)
from glam.words.facts import Lesion, lesions_as_text

FINDINGS = lesions_as_text((Lesion(kind="mass", shape="oval", size_mm=12.0),))
FULL = {
    "image_id": "i1",
    "patient_id": "p1",
    "exam_id": "e1",
    "laterality": "L",
    "view": "CC",
    "path": "images/i1.dcm",
    "split": "train",
    "image_type": "2D",
    "birads": "0",
    "density": "b",
    "cancer": "1",
    "age": "56",
    "sex": "F",
    "race": "NA",
    "ethnicity": "Non-Hispanic or Latino",
    "procedure": "MG Screen Bilat",
    "reason": "screening",
    "manufacturer": "HOLOGIC, Inc.",
    "site": "north",
    "study_date": "2026-01-31",
    "spacing_mm": "0.07",
    "findings": FINDINGS,
    "boxes": "[[1, 2, 3.5, 4]]",
    "finding_ids": '["p1-mass"]',
}
BARE = {"image_id": "i2", "patient_id": "p1", "exam_id": "e1", "laterality": "L", "view": "MLO", "path": "i2.dcm"}


def write(path: Path, rows: list[dict], names: list[str] | None = None) -> Path:
    names = names or list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
    return path


def image(image_id: str, breast: str = "p1/e1/L", view: str = "CC", **more: str) -> dict:
    patient, exam, laterality = breast.split("/")
    ids = {"image_id": image_id, "patient_id": patient, "exam_id": exam, "laterality": laterality}
    return {**ids, "view": view, "path": f"{image_id}.dcm", **more}


@pytest.mark.parametrize(
    "name", ["a.dcm", "a/b.dcm", "./a.dcm", "a//b.dcm", "/a/b.dcm", "../a.dcm", "a/./b.dcm", "a/", "a/.", ".a"]
)
@pytest.mark.parametrize("folder", ["data", ".", "/", "/data", "../data"])
def test_a_path_is_joined_to_the_manifests_folder_as_paths_are(folder: str, name: str):
    joined = _joined(Path(folder), pd.Series([name, "b"], dtype="str"))
    assert joined.tolist() == [str(Path(folder) / name), str(Path(folder) / "b")]


@pytest.fixture
def manifest(tmp_path):
    return read_manifest(write(tmp_path / "manifest.csv", [FULL, {**BARE, "split": "train"}]))


def test_every_value_of_a_full_row_is_read(manifest, tmp_path):
    row = manifest.iloc[0].to_dict()
    assert row == {
        **FULL, "path": str(tmp_path / "images" / "i1.dcm"), "birads": 0, "cancer": 1, "age": 56, "spacing_mm": 0.07
    }  # fmt: skip
    assert tuple(manifest.columns) == NAMES == tuple(FULL)


def test_unknown_is_empty_text_or_missing_number(manifest):
    row = manifest.iloc[1]
    assert row["race"] == row["findings"] == row["density"] == ""
    assert row[["birads", "cancer", "age", "spacing_mm"]].isna().all()
    assert [str(manifest[name].dtype) for name in ("birads", "spacing_mm", "race")] == ["Int64", "float64", "str"]


def test_the_code_na_is_no_empty_cell(manifest):
    assert manifest["race"][0] == "NA"


def test_a_file_of_the_required_columns_alone_is_enough(tmp_path):
    table = read_manifest(write(tmp_path / "manifest.csv", [BARE]))
    assert tuple(table.columns) == NAMES
    assert table["split"].tolist() == [""]


def test_parquet_reads_as_csv_does(manifest, tmp_path):
    folder = tmp_path / "sub"
    folder.mkdir()
    relative = manifest.assign(path=["images/i1.dcm", "i2.dcm"])
    relative.to_parquet(folder / "manifest.parquet")
    again = read_manifest(folder / "manifest.parquet")
    pd.testing.assert_frame_equal(again.drop(columns="path"), manifest.drop(columns="path"))
    assert again["path"].tolist() == [str(folder / "images" / "i1.dcm"), str(folder / "i2.dcm")]


def test_a_written_manifest_reads_back_the_same(manifest, tmp_path):
    manifest.to_csv(tmp_path / "again.csv", index=False)
    pd.testing.assert_frame_equal(read_manifest(tmp_path / "again.csv"), manifest)


def test_parquet_of_natural_types_is_read(tmp_path):
    rows = {
        **{name: [value] * 2 for name, value in BARE.items()}, "image_id": [1, 2], "patient_id": [7.0, 7.0],
        "age": [56.0, None], "study_date": pd.to_datetime(["2026-01-31", None]), "density": ["a", None],
    }  # fmt: skip
    pd.DataFrame(rows).to_parquet(tmp_path / "manifest.parquet")
    table = read_manifest(tmp_path / "manifest.parquet")
    assert table["image_id"].tolist() == ["1", "2"]
    assert table["patient_id"].tolist() == ["7", "7"]
    assert table["age"][0] == 56
    assert table["study_date"].tolist() == ["2026-01-31", ""]


def test_ids_that_look_like_numbers_are_left_alone(tmp_path):
    table = read_manifest(write(tmp_path / "m.csv", [{**BARE, "image_id": "007", "patient_id": "1.0", "age": "61.0"}]))
    assert (table["image_id"][0], table["patient_id"][0], table["age"][0]) == ("007", "1.0", 61)


def test_an_empty_manifest_has_no_rows(tmp_path):
    table = read_manifest(write(tmp_path / "manifest.csv", [], names=list(BARE)))
    assert len(table) == len(pairs(table)) == 0


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("laterality", "left", "'left' is none of L, R"),
        ("view", "ML", "'ML' is none of CC, MLO"),
        ("split", "dev", "none of train, val, test"),
        ("image_type", "cview", "none of 2D, synthetic"),
        ("birads", "7", "none of 0, 1, 2"),
        ("birads", "4A", "none of 0, 1, 2"),
        ("density", "5", "none of a, b, c, d"),
        ("cancer", "yes", "none of 0, 1"),
        ("age", "-3", "no whole number"),
        ("age", "56.5", "no whole number"),
        ("spacing_mm", "0", "no positive number"),
        ("spacing_mm", "nan", "no positive number"),
        ("study_date", "31.01.2026", "no date"),
        ("study_date", "2026-02-30", "no date"),
        ("findings", '[{"kind": "cyst"}]', "kind 'cyst' is none of: mass"),
        ("findings", "oval mass", "no JSON"),
        ("boxes", "[[5, 2, 3, 4]]", "x0 < x1"),
        ("boxes", "[[1, 2, 3]]", "no JSON list"),
        ("boxes", '{"x0": 1}', "no JSON list"),
        ("boxes", "5", "no JSON list"),
        ("boxes", "[[0, 0, Infinity, 1]]", "no JSON list"),
        ("boxes", "[[0, 0, true, 1]]", "no JSON list"),
        ("boxes", f"[[0, 0, 1{'0' * 400}, 1]]", "no JSON list"),
        ("boxes", "[" * 50_000, "no JSON list"),
        ("finding_ids", "a", "no JSON list of ids"),
        ("finding_ids", '"a"', "no JSON list of ids"),
        ("finding_ids", '{"a": 1}', "no JSON list of ids"),
        ("finding_ids", '["a", ""]', "text that is not empty"),
        ("finding_ids", '["  "]', "text that is not empty"),
        ("finding_ids", "[null]", "no JSON list of ids"),
        ("finding_ids", "[1.0]", "whole numbers"),
        ("finding_ids", "[true]", "whole numbers"),
        ("finding_ids", '[["a"]]', "no JSON list of ids"),
        ("finding_ids", '["a", "b", "a"]', "each once in an image"),
        ("finding_ids", '[1, "1"]', "each once in an image"),
        ("finding_ids", "[" * 50_000, "no JSON list of ids"),
        ("path", "", "is empty"),
        ("patient_id", " ", "is empty"),
    ],
)
def test_a_cell_that_breaks_its_rule_is_named(tmp_path, name, value, rule):
    rows = [image("i0"), {**image("i1"), name: value}]
    with pytest.raises(ManifestError) as caught:
        read_manifest(write(tmp_path / "manifest.csv", rows, list(NAMES)))
    broken = [problem for problem in caught.value.problems if rule in problem.rule]
    assert [(problem.row, problem.column) for problem in broken] == [(2, name)]
    assert f"row 2, {name}: " in str(caught.value)


def test_all_problems_are_collected_and_the_first_twenty_shown(tmp_path):
    rows = [image(f"i{index}", birads="9", density="z") for index in range(30)]
    with pytest.raises(ManifestError) as caught:
        read_manifest(write(tmp_path / "manifest.csv", rows))
    message = str(caught.value)
    assert len(caught.value.problems) == 60
    assert message.count("  row ") == 20
    assert "row 10, density" in message
    assert "row 11" not in message
    assert message.endswith("and 40 more")


def test_an_image_named_twice_is_refused(tmp_path):
    with pytest.raises(ManifestError, match="row 3, image_id: 2 rows have it"):
        read_manifest(write(tmp_path / "manifest.csv", [image("a"), image("b"), image("a")]))


def test_an_exam_of_two_patients_is_refused(tmp_path):
    with pytest.raises(ManifestError, match="row 1, exam_id: the exam belongs to more than one patient"):
        read_manifest(write(tmp_path / "manifest.csv", [image("a", "p1/e1/L"), image("b", "p2/e1/L")]))


@pytest.mark.parametrize(
    ("ids", "boxes", "rule"),
    [
        ('["a"]', "", "there are 1 ids for 0 boxes"),
        ('["a", "b"]', "[[0, 0, 1, 1]]", "there are 2 ids for 1 boxes"),
        ("[]", "[[0, 0, 1, 1]]", "there are 0 ids for 1 boxes"),
    ],
)
def test_every_box_has_its_id_and_every_id_its_box(tmp_path, ids, boxes, rule):
    rows = [image("i0"), image("i1", finding_ids=ids, boxes=boxes)]
    with pytest.raises(ManifestError, match=f"row 2, finding_ids: {rule}: give each box one"):
        read_manifest(write(tmp_path / "manifest.csv", rows, list(NAMES)))


def test_a_broken_cell_of_boxes_is_told_of_once(tmp_path):
    rows = [image("i1", finding_ids='["a"]', boxes="[[5, 2, 3, 4]]")]
    with pytest.raises(ManifestError) as caught:
        read_manifest(write(tmp_path / "manifest.csv", rows, list(NAMES)))
    assert [problem.column for problem in caught.value.problems] == ["boxes"]


BOX, BOX_ID = "[[0, 0, 1, 1]]", '["a"]'


@pytest.mark.parametrize("other", ["p1/e1/R", "p1/e2/L", "p2/e3/L"])
def test_an_id_in_two_breasts_is_refused_in_every_row_that_has_it(tmp_path, other):
    rows = [
        image("i1", boxes=BOX, finding_ids=BOX_ID),
        image("i2", other, boxes=BOX, finding_ids=BOX_ID),
        image("i3", other, "MLO", boxes=BOX, finding_ids="[7]"),
    ]
    with pytest.raises(ManifestError) as caught:
        read_manifest(write(tmp_path / "manifest.csv", rows))
    assert [(problem.row, problem.column) for problem in caught.value.problems] == [
        (1, "finding_ids"),
        (2, "finding_ids"),
    ]
    assert "'a' is in more than one breast" in str(caught.value)


def test_an_id_in_both_views_of_a_breast_and_in_a_second_image_of_a_view_is_read(tmp_path):
    rows = [
        image("i1", boxes=BOX, finding_ids=BOX_ID),
        image("i2", view="MLO", boxes=BOX, finding_ids=BOX_ID),
        image("i3", view="MLO", image_type="synthetic", boxes=BOX, finding_ids=BOX_ID),
    ]
    table = read_manifest(write(tmp_path / "manifest.csv", rows))
    assert table["finding_ids"].tolist() == [BOX_ID] * 3


def test_boxes_without_ids_are_those_of_version_1(tmp_path):
    table = read_manifest(
        write(tmp_path / "manifest.csv", [image("i1", boxes=BOX), image("i2", boxes="[]", finding_ids="[]")])
    )
    assert table["finding_ids"].tolist() == ["", "[]"]


@pytest.mark.parametrize("other", ["test", ""])
def test_a_patient_in_two_splits_is_refused(tmp_path, other):
    rows = [
        image("a", "p1/e1/L", split="train"),
        image("b", "p2/e2/L", split=other),
        image("c", "p1/e3/R", split=other),
    ]
    with pytest.raises(ManifestError) as caught:
        read_manifest(write(tmp_path / "manifest.csv", rows))
    assert [problem.row for problem in caught.value.problems] == [1, 3]
    assert "more than one split" in str(caught.value)


def test_leakage_of_a_table_in_memory_is_an_error():
    check_leakage(pd.DataFrame({"patient_id": ["a", "a", "b"], "split": ["train", "train", "test"]}))
    with pytest.raises(ManifestError, match="leaks between its splits"):
        check_leakage(pd.DataFrame({"patient_id": ["a", "a"], "split": ["train", "test"]}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_id,patient_id\n1,2\n", "lacks the columns exam_id, laterality, view, path"),
        (",".join([*BARE, "colour"]) + "\n", "columns that no manifest has: colour"),
        ("", "cannot be read"),
        (",".join(BARE) + "\n" + "1,2,3,L,CC,a.dcm,extra\n", "cannot be read"),
        (",".join(BARE) + "\n1,2,3,L,CC,a.dcm\n" + "1,2,3,L,CC,a.dcm,extra\n", "cannot be read"),
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path, text, message):
    path = tmp_path / "manifest.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError, match=message):
        read_manifest(path)


def test_a_file_that_is_no_table_is_refused(tmp_path):
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(tmp_path / "nowhere.csv")
    (tmp_path / "manifest.parquet").write_bytes(b"PAR1")
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(tmp_path / "manifest.parquet")
    with pytest.raises(ManifestError, match=r"neither \.csv nor \.parquet"):
        read_manifest(tmp_path / "manifest.xlsx")


def test_a_split_depends_on_seed_and_patient_alone():
    patients = [f"p{index}" for index in range(2000)]
    splits = {patient: patient_split(patient, seed=1) for patient in patients}
    random.Random(0).shuffle(patients)
    assert all(patient_split(patient, seed=1) == splits[patient] for patient in patients[:100])
    shares = [list(splits.values()).count(name) / 2000 for name in ("train", "val", "test")]
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.04)
    assert any(patient_split(patient, seed=2) != splits[patient] for patient in patients)


def test_a_split_is_the_same_on_every_machine():
    assert [patient_split(f"p{index}", seed=0) for index in range(8)] == [
        "val",
        "test",
        "train",
        "val",
        "train",
        "train",
        "test",
        "train",
    ]


def test_a_fraction_of_zero_gets_nobody():
    assert {patient_split(f"p{i}", seed=0, fractions=(0, 1, 0)) for i in range(50)} == {"val"}
    with pytest.raises(ValueError, match="sum to 1"):
        patient_split("p", seed=0, fractions=(0.5, 0.2, 0.2))


def test_assigned_splits_never_leak_and_do_not_depend_on_the_order(tmp_path):
    rows = [image(f"i{index}", f"p{index % 40}/e{index % 40}/L") for index in range(120)]
    table = read_manifest(write(tmp_path / "manifest.csv", rows))
    split = assign_splits(table, seed=3)
    check_leakage(split)
    turned = assign_splits(table.iloc[::-1], seed=3).sort_index()
    assert turned["split"].tolist() == split["split"].tolist()
    assert set(split["split"]) == {"train", "val", "test"}


def test_pairs_are_one_row_a_breast(tmp_path):
    rows = [
        image("b_mlo", "p1/e1/R", "MLO", split="val"),
        image("a_cc", split="val"),
        image("b_cc", "p1/e1/R", split="val"),
        image("a_mlo", view="MLO", split="val"),
    ]
    table = pairs(read_manifest(write(tmp_path / "manifest.csv", rows)))
    assert table.to_dict("records") == [
        {"patient_id": "p1", "exam_id": "e1", "laterality": "L", "split": "val", "cc": "a_cc", "mlo": "a_mlo",
         "missing": "", "num_images": 2},
        {"patient_id": "p1", "exam_id": "e1", "laterality": "R", "split": "val", "cc": "b_cc", "mlo": "b_mlo",
         "missing": "", "num_images": 2},
    ]  # fmt: skip


def test_a_missing_view_is_listed(tmp_path):
    rows = [image("a"), image("b", "p1/e1/R", "MLO"), image("c", "p1/e1/R", "MLO")]
    table = pairs(read_manifest(write(tmp_path / "manifest.csv", rows)))
    assert table[["cc", "mlo", "missing", "num_images"]].to_numpy().tolist() == [
        ["a", "", "mlo", 1],
        ["", "b", "cc", 2],
    ]


def test_of_several_images_the_digital_one_is_taken_whatever_the_order(tmp_path):
    rows = [
        image("a", image_type="synthetic"),
        image("b"),
        image("d", image_type="2D"),
        image("c", image_type="2D"),
        image("m", view="MLO", image_type="synthetic"),
    ]
    for seed in range(4):
        random.Random(seed).shuffle(rows)
        row = pairs(read_manifest(write(tmp_path / "manifest.csv", rows))).iloc[0]
        assert (row["cc"], row["mlo"], row["num_images"]) == ("c", "m", 5)


def test_the_schema_is_that_of_the_design():
    required = {column.name for column in COLUMNS if column.required}
    assert required == set(BARE)
    assert len(NAMES) == 24
    assert NAMES[-3:] == ("findings", "boxes", "finding_ids")


def test_twenty_thousand_rows_are_read_in_seconds(tmp_path):
    rows = [
        {
            **FULL,
            **image(f"i{i}", f"p{i // 4}/e{i // 4}/{'LR'[i % 2]}", ("CC", "MLO")[i // 2 % 2]),
            "finding_ids": f'["p{i // 4}-{i % 2}"]',
        }
        for i in range(20_000)
    ]
    path = write(tmp_path / "manifest.csv", rows)
    start = time.process_time()
    table = pairs(read_manifest(path))
    assert time.process_time() - start < 10
    assert len(table) == 10_000
    assert set(table["missing"]) == {""}
