"""In which words a bundle asks: those of the reports that its model was trained on."""

import json
import shutil

import pytest

import glam_export.build as build
from glam.licence import write_provenance
from glam.words.prompts import class_ensembles
from glam.words.wording import STYLES
from glam_export.cli import main
from glam_export.prompts import embed_class_prompts, style_of_reports


@pytest.mark.parametrize("style", STYLES)
def test_a_bundle_is_asked_in_the_style_that_its_checkpoint_says(tmp_path, checkpoint, model, style):
    folder = shutil.copytree(checkpoint, tmp_path / "checkpoint")
    write_provenance(folder, {"data": "ours", "licence": None, "start_from": None, "report_style": style})
    assert style_of_reports(folder, model.config.text) == style
    prompts = embed_class_prompts(model, model.config.text, folder / "tokenizer.json", style)
    assert prompts.texts == {task: class_ensembles(task, style=style) for task in ("birads", "density", "mass")}


def test_a_checkpoint_that_does_not_say_is_ours_or_the_released_codes(checkpoint, model):
    assert style_of_reports(checkpoint, model.config.text) == "glam"


def test_a_style_that_there_is_not_is_refused_with_those_that_there_are(tmp_path, checkpoint, model):
    folder = shutil.copytree(checkpoint, tmp_path / "checkpoint")
    write_provenance(folder, {"data": "ours", "licence": None, "start_from": None, "report_style": "verse"})
    with pytest.raises(ValueError, match="a style 'verse': expected one of papers, glam, natural, clip"):
        style_of_reports(folder, model.config.text)


def test_the_command_writes_the_prompts_of_the_style_that_its_checkpoint_says(
    tmp_path, checkpoint, exported, monkeypatch
):
    monkeypatch.setattr(build, "write_graph", lambda graph, folder: shutil.copy(exported / graph.name, folder))
    folder = shutil.copytree(checkpoint, tmp_path / "checkpoint")
    write_provenance(folder, {"data": "ours", "licence": "CC0 1.0", "start_from": None, "report_style": "clip"})
    assert main(["onnx", str(folder), "--out", str(tmp_path / "bundle"), "--name", "n", "--version", "1"]) == 0
    texts = json.loads((tmp_path / "bundle" / "bundle.json").read_text())["prompts"]["texts"]
    assert texts["density"][3] == ["A mammogram with extremely dense tissue"]
