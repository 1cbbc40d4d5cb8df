"""`glam-embed describe`: JSON, a picture, and a page that stands alone."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glam.predict_command import UsageError
from glam.store.planned import read_plan
from glam.store.read import footer
from glam.store.schema import MANIFEST_FILE
from glam.store.write import write_table
from glam_serve.cohort.describe_command import Describe
from tests.samples.stores import clustered, write_vectors

ROWS = 120


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("describe") / "store"
    matrix = clustered(ROWS, 6, clusters=1, noise=0.2)
    matrix[7] = -matrix[7]
    write_vectors(folder, matrix)
    return folder


def manifest_of(path: Path, makers: list[str]) -> Path:
    lines = [f"i{row:08d},p{row // 2:08d},p{row // 2:08d},L,CC,{row}.dcm,{maker}" for row, maker in enumerate(makers)]
    path.write_text("\n".join(["image_id,patient_id,exam_id,laterality,view,path,manufacturer", *lines]) + "\n")
    return path


def test_a_store_is_described_in_json_picture_and_a_page_that_stands_alone(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert Describe(store=store, out=tmp_path / "out").run() == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((tmp_path / "out" / "describe.json").read_text())
    assert (told["rows"], told["level"], told["calibrated_rows"]) == (ROWS, "image", 0)
    assert told["odd"]["rows"][0]["image_id"] == "i00000007"
    assert told["odd"]["rows"][0]["z"] > told["odd"]["most_z"]
    assert "not for diagnosis" in told["notice"]
    with Image.open(tmp_path / "out" / "describe.png") as picture:
        assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 20
    page = (tmp_path / "out" / "describe.html").read_text()
    assert "Research use only, not for diagnosis" in page
    assert "i00000007" in page
    assert "not calibrated" in page
    assert re.findall(r"(?:src|href)=['\"](.{5})", page) == ["data:"]
    assert "//" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", page)


def test_the_page_has_no_id_of_an_image_that_is_a_path(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    of_folder = tmp_path / "store"
    shutil.copytree(store, of_folder)
    plan = read_plan(of_folder)
    assert plan is not None
    plan = plan.set_column(plan.column_names.index("path"), "path", plan.column("image_id"))
    write_table(of_folder / MANIFEST_FILE, plan, footer(of_folder / MANIFEST_FILE))
    assert Describe(store=of_folder, out=tmp_path / "out").run() == 0
    assert json.loads(capsys.readouterr().out)["odd"]["rows"][0]["image_id"] == "i00000007"
    page = (tmp_path / "out" / "describe.html").read_text()
    assert "p00000003" in page
    assert "i00000007" not in page


def test_rows_are_counted_and_coloured_by_a_column_of_the_manifest(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    makers = ["Maker <A>"] * 100 + ["B"] * 10  # the last ten images are not in it
    manifest = manifest_of(tmp_path / "manifest.csv", makers)
    Describe(store=store, manifest=manifest, out=tmp_path / "out").run()
    told = json.loads(capsys.readouterr().out)
    assert told["counts"]["manufacturer"] == {"B": 10, "Maker <A>": 100, "not known": 10}
    assert told["picture"]["coloured_by"] == ["density", "birads", "manufacturer"]
    assert "Maker &lt;A&gt;" in (tmp_path / "out" / "describe.html").read_text()


def test_the_readers_density_stands_beside_the_models(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    manifest = manifest_of(tmp_path / "manifest.csv", list("abcd") * (ROWS // 4))
    manifest.write_text(manifest.read_text().replace("manufacturer", "density"))
    Describe(store=store, manifest=manifest, by="density", out=tmp_path / "out").run()
    counts = json.loads(capsys.readouterr().out)["counts"]
    assert counts["density of the manifest"] == dict.fromkeys("abcd", ROWS // 4)
    assert sum(counts["density"].values()) == ROWS


def test_a_column_that_is_none_and_a_strange_manifest_are_refused(store: Path, tmp_path: Path):
    manifest = manifest_of(tmp_path / "manifest.csv", ["A"] * ROWS)
    with pytest.raises(UsageError, match=r"no column of text of a manifest: .*manufacturer"):
        Describe(store=store, manifest=manifest, by="spacing_mm").run()
    manifest.write_text(manifest.read_text().replace("i00", "x00"))
    with pytest.raises(UsageError, match="none of the images"):
        Describe(store=store, manifest=manifest).run()
