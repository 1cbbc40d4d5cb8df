"""Phantoms and manifests into caches, by the commands a person types."""

import json
from dataclasses import replace

import numpy as np
import pytest

from glam.config import FrameConfig
from glam.frame import frame_from_json, make_frame
from glam.phantom import PhantomOptions, draw_pair, view_of
from glam.phantom.exam import write_exams
from glam_train.commands import Prepare, PreparePhantoms
from glam_train.data.cache import CacheError, read_cache
from glam_train.data.pairs import paired_findings, paired_rows, prepared_files
from glam_train.data.phantom_pairs import CONSPICUOUS, NATURAL, TRAINING_SEED, options_of, prepared_phantom
from glam_train.presets.glam import tiny_preset

FRAME = FrameConfig(size=56, kind="stretch")


@pytest.fixture(scope="module")
def exams(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exams")
    write_exams(folder, num_exams=2, seed=4, options=PhantomOptions(px_mm=0.96))
    return folder


def all_of(folder, split: str) -> None:
    """Put every row of the manifest into one split."""
    manifest = folder / "manifest.csv"
    header, *rows = manifest.read_text().splitlines()
    place = header.split(",").index("split")
    cells = [row.split(",") for row in rows]
    manifest.write_text(
        "\n".join([header, *(",".join([*row[:place], split, *row[place + 1 :]]) for row in cells)]) + "\n"
    )


def test_a_training_phantom_is_the_same_whoever_draws_it():
    first, again = (prepared_phantom(3, seed=TRAINING_SEED, frame=FRAME) for _ in range(2))
    assert np.array_equal(first.cc.pixels, again.cc.pixels)
    assert first.record == again.record


def test_its_record_places_the_same_points_in_both_views():
    pair = prepared_phantom(0, seed=TRAINING_SEED, frame=FRAME)
    tissue = {key: np.array(points) for key, points in pair.record["points"]["tissue"].items()}
    assert tissue["cc"].shape == tissue["mlo"].shape == (200, 2)
    columns = [
        view.frame.to_square(tissue[key])[:, 0] / FRAME.size for key, view in (("cc", pair.cc), ("mlo", pair.mlo))
    ]
    assert np.median(np.abs(columns[0] - columns[1])) < 0.06  # the prior that GLAM is built on


def test_most_training_phantoms_are_conspicuous():
    drawn = [options_of(index, seed=TRAINING_SEED) for index in range(400)]
    assert 0.55 < sum(options == CONSPICUOUS for options in drawn) / 400 < 0.75
    assert set(map(id, drawn)) == {id(CONSPICUOUS), id(NATURAL)}


def test_phantoms_are_prepared_by_a_command_that_can_be_run_again(tmp_path, capsys):
    command = PreparePhantoms(out=tmp_path / "cache", pairs=2, workers=1)
    command.run()
    assert json.loads(capsys.readouterr().out) == {"pairs": 2, "seed": TRAINING_SEED}
    before = (tmp_path / "cache" / "shard-00000.npy").stat().st_mtime_ns
    command.run()
    assert (tmp_path / "cache" / "shard-00000.npy").stat().st_mtime_ns == before
    with pytest.raises(CacheError, match="other data"):
        PreparePhantoms(out=tmp_path / "cache", pairs=2, seed=9, workers=1).run()


@pytest.mark.parametrize("voi", ["minmax", "breast"])
def test_a_grey_policy_chosen_by_command_is_the_caches(exams, tmp_path, voi):
    all_of(exams, "train")
    Prepare(manifest=exams / "manifest.csv", out=tmp_path / "files", preset="tiny", voi=voi).run()
    PreparePhantoms(out=tmp_path / "phantoms", pairs=2, voi=voi).run()
    for name in ("files", "phantoms"):
        assert read_cache(tmp_path / name).frame == replace(tiny_preset().model.frame, voi=voi)
    other = Prepare(manifest=exams / "manifest.csv", out=tmp_path / "plain", preset="tiny")
    other.run()
    by_header, by_policy = (read_cache(tmp_path / name).squares(0) for name in ("plain", "files"))
    assert not np.array_equal(by_header, by_policy)
    with pytest.raises(CacheError, match="prepared another way"):
        replace(other, out=tmp_path / "files").run()


def test_a_manifest_is_prepared_by_a_command(exams, tmp_path, capsys):
    all_of(exams, "train")
    Prepare(manifest=exams / "manifest.csv", out=tmp_path / "cache", preset="tiny").run()
    assert json.loads(capsys.readouterr().out) == {"pairs": 4, "of": 4, "breasts_with_one_view": 0}
    cache = read_cache(tmp_path / "cache")
    assert cache.squares(0).shape == (2, 252, 252)
    assert {record["facts"]["laterality"] for record in cache.records} == {"L", "R"}
    assert frame_from_json(cache.records[0]["frames"]["mlo"]).size == 252


@pytest.fixture(scope="module")
def exam_with_findings(tmp_path_factory):
    """One exam, both breasts with one or more findings."""
    folder = tmp_path_factory.mktemp("findings")
    options = PhantomOptions(px_mm=0.96, lesion_weights=(0, 0, 0, 0, 0, 1, 0))
    write_exams(folder, num_exams=1, seed=4, options=options)
    all_of(folder, "train")
    return folder


def test_findings_of_one_id_in_both_views_are_known_places_of_a_pair(exam_with_findings):
    rows, _ = paired_rows(exam_with_findings / "manifest.csv", split="train")
    truth = json.loads((exam_with_findings / "exams" / "000000" / "truth.json").read_text())
    known = 0
    for cc, mlo in rows:
        record = prepared_files((cc, mlo), frame=FRAME).record
        views = truth[cc["laterality"]]["views"]
        boxes = {key: [lesion["box"] for lesion in views[key.upper()]["lesions"]] for key in ("cc", "mlo")}
        if not boxes["cc"]:
            assert "points" not in record
            continue
        for key in ("cc", "mlo"):
            centres = [[(x0 + x1) / 2, (y0 + y1) / 2] for x0, y0, x1, y1 in boxes[key]]
            np.testing.assert_allclose(record["points"]["lesion"][key], centres, atol=0.06)
        known += len(boxes["cc"])
    assert known >= 2


def test_only_ids_of_both_views_pair_whatever_their_order_and_a_box_counts_inside_its_image():
    frame = make_frame(np.eye(3), size=100, rows=80, cols=60)
    cc = {"finding_ids": '[3, "left", "outside"]', "boxes": "[[10, 20, 30, 60], [-20, -20, 10, 30], [70, 0, 90, 9]]"}
    mlo = {
        "finding_ids": '["outside", "left", "other", "3"]',
        "boxes": "[[1, 1, 2, 2], [50, 70, 90, 99], [0, 0, 4, 4], [0, 0, 8, 2]]",
    }
    found = paired_findings(cc, mlo, frame_cc=frame, frame_mlo=frame)
    assert found == {"points": {"lesion": {"cc": [[20, 40], [5, 15]], "mlo": [[4, 1], [55, 75]]}}}
    assert paired_findings(cc, mlo | {"finding_ids": ""}, frame_cc=frame, frame_mlo=frame) == {}
    assert paired_findings(cc, {"finding_ids": "[4]", "boxes": "[[0, 0, 1, 1]]"}, frame_cc=frame, frame_mlo=frame) == {}


def test_an_unusable_file_is_named_by_id_and_code_and_its_pair_left_out(exams, capsys):
    all_of(exams, "train")
    (rows, *_), _ = paired_rows(exams / "manifest.csv", split="train")
    broken = exams / "broken.dcm"
    broken.write_bytes(b"no DICOM")
    assert prepared_files((rows[0] | {"path": str(broken)}, rows[1]), frame=FRAME) is None
    said = capsys.readouterr().err
    assert rows[0]["image_id"] in said
    assert "not_dicom" in said


def test_a_breast_with_one_view_is_counted_and_not_trained_on(exams, tmp_path):
    all_of(exams, "train")
    header, *rows = (exams / "manifest.csv").read_text().splitlines()
    fewer = exams / "fewer.csv"
    fewer.write_text("\n".join([header, *rows[1:]]) + "\n")
    whole, lone = paired_rows(fewer, split="train")
    assert (len(whole), lone) == (3, 1)


def test_the_spacing_of_a_manifest_reaches_a_picture_without_one(tmp_path, capsys):
    from PIL import Image

    pair = draw_pair(5, PhantomOptions(px_mm=0.96), laterality="L")
    views = {"CC": view_of(pair.cc, FrameConfig()), "MLO": view_of(pair.mlo, FrameConfig())}
    for name, view in views.items():
        Image.fromarray((view.pixels >> 8).astype(np.uint8)).save(tmp_path / f"{name}.png")
    columns = "image_id,patient_id,exam_id,laterality,view,path,split,spacing_mm"
    frame = FrameConfig(size=56)  # in millimetres from the nipple

    def square_to_pixels(spacing: str) -> list[list[float]]:
        rows = [f"{name},p,e,L,{name},{name}.png,train,{spacing}" for name in views]
        (tmp_path / "manifest.csv").write_text("\n".join([columns, *rows]) + "\n")
        ((rows_of_breast,), _) = paired_rows(tmp_path / "manifest.csv", split="train")
        return prepared_files(rows_of_breast, frame=frame).cc.frame.as_json()["to_square"]

    width = [np.hypot(*square_to_pixels(spacing)[0][:2]) for spacing in ("0.96", "0.48")]
    assert width[0] == pytest.approx(2 * width[1], rel=1e-6)
    assert width[0] == pytest.approx(56 * 0.96 / frame.span_mm, rel=1e-6)
