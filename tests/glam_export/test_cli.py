import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

import glam_export.build as build
from glam.bundle import read_bundle
from glam.config import FrameConfig
from glam.loading import open_runtime
from glam.model.checkpoint import load_checkpoint, save_checkpoint
from glam.predict import Predictor
from glam.reading.read import read_view
from glam.words.prompts import class_ensembles
from glam.zeroshot import unit
from glam_export.cli import Onnx, main


@pytest.fixture
def quick_graphs(monkeypatch, exported):
    """Copies in place of exporting once more."""
    monkeypatch.setattr(build, "write_graph", lambda graph, folder: shutil.copy(exported / graph.name, folder))


def test_bundle_says_what_it_is_and_what_it_saw(exported):
    bundle = read_bundle(exported)
    assert (bundle.name, bundle.version) == ("tiny", "0.1.0")
    assert bundle.provenance["data"] == "300 mammograms of nobody"
    assert bundle.provenance["stated_by_exporter"] == ["licence", "permits"]
    assert bundle.metrics == {"density macro AUC": 0.91}
    assert bundle.may_serve
    assert bundle.may_share
    assert bundle.classes == {"birads": ("0", "1", "2"), "density": ("a", "b", "c", "d"), "mass": ("0", "1")}


def test_parity_stands_in_the_manifest(exported):
    parity = json.loads((exported / "bundle.json").read_text())["export"]["parity"]
    assert parity["image_cosine"] >= 0.99999
    assert parity["text_cosine"] >= 0.99999
    assert parity["attention_max_abs"] <= 1e-4
    assert parity["batches"] == [1, 3]


def test_class_vectors_are_the_text_tower_s_answer_to_the_prompts(exported, model):
    bundle = read_bundle(exported)
    for task in ("birads", "density", "mass"):
        expected = []
        for texts in class_ensembles(task):
            tokens = bundle.tokenizer().encode(texts, max_tokens=model.config.text.max_tokens)
            with torch.inference_mode():
                vectors = model.embed_text(torch.from_numpy(tokens.ids), torch.from_numpy(tokens.mask))
            expected.append(unit(vectors.mean(dim=0).numpy()))
        np.testing.assert_allclose(bundle.class_vectors(task), expected, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(bundle.class_vectors(task), axis=1), 1, atol=1e-5)


def test_scale_is_the_inverse_temperature_of_image_and_text(exported, model):
    assert read_bundle(exported).scale == pytest.approx(model.scales().image_text.item())


def test_bundle_answers_as_its_checkpoint_does(exported, checkpoint):
    bundle = read_bundle(exported)
    views = [read_view(exported / "golden" / name, FrameConfig()) for name in ("cc.dcm", "mlo.dcm")]
    runtimes = (open_runtime(bundle), open_runtime(bundle, "torch", checkpoint=checkpoint))
    onnx, torch_ = (Predictor(bundle, runtime).predict(*views, prompts=["a mass is present"]) for runtime in runtimes)
    np.testing.assert_allclose(onnx.embedding, torch_.embedding, atol=1e-5)
    assert onnx.birads == pytest.approx(torch_.birads, abs=1e-4)
    np.testing.assert_allclose(onnx.attention.cc_to_mlo, torch_.attention.cc_to_mlo, atol=1e-5)


def test_export_that_disagrees_with_torch_fails_and_leaves_nothing(checkpoint, tmp_path, model, capsys, quick_graphs):
    damaged = load_checkpoint(checkpoint)
    torch.nn.init.normal_(damaged.image_projection.weight)
    shutil.copytree(checkpoint, tmp_path / "damaged")
    save_checkpoint(damaged, tmp_path / "damaged", tmp_path / "damaged" / "tokenizer.json")
    words = [str(tmp_path / "damaged"), "--out", str(tmp_path / "out" / "bundle"), "--without-provenance"]
    assert main(["onnx", *words]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "do not answer as torch does: image_cosine is" in captured.err
    assert list((tmp_path / "out").iterdir()) == []


def test_bundle_of_unstated_data_is_made_on_request_only_and_may_be_neither_served_nor_shared(
    checkpoint, tmp_path, quick_graphs, capsys
):
    assert main(["onnx", str(checkpoint), "--out", str(tmp_path / "bundle")]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "carries no provenance.json" in told.err
    assert "--without-provenance" in told.err
    Onnx(checkpoint=checkpoint, out=tmp_path / "bundle", without_provenance=True).run()
    assert capsys.readouterr().out == f"{tmp_path / 'bundle'}\n"
    bundle = read_bundle(tmp_path / "bundle")
    assert (bundle.may_serve, bundle.may_share) == (False, False)


def test_prompts_key_changes_with_the_text_tower_only(checkpoint, model):
    from glam_export.prompts import prompts_key

    texts = {"mass": ("no", "yes")}
    changed = load_checkpoint(checkpoint)
    tokenizer = checkpoint / "tokenizer.json"
    key = prompts_key(model, tokenizer, texts)
    torch.nn.init.zeros_(changed.image_projection.weight)
    assert prompts_key(changed, tokenizer, texts) == key
    assert prompts_key(changed, tokenizer, {"mass": ("yes", "no")}) != key
    assert prompts_key(changed, checkpoint / "config.json", texts) != key
    torch.nn.init.zeros_(changed.text_projection.bias)
    assert prompts_key(changed, tokenizer, texts) != key


def test_verify_prints_the_hash_and_names_what_changed(exported, tmp_path, capsys):
    copy = shutil.copytree(exported, tmp_path / "copy")
    assert main(["verify", str(copy)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["sha256"] == read_bundle(copy, verify=False).sha256
    assert (told["may_serve"], told["may_share"]) == (True, True)
    (copy / "prompts.npz").write_bytes(b"")
    assert main(["verify", str(copy)]) == 1
    told = capsys.readouterr().err
    assert told.startswith("glam-export: bundle_changed: ")
    assert "prompts.npz has changed" in told


@pytest.mark.parametrize("arguments", [[], ["onnx"], ["onnx", "checkpoint"], ["engine", "x"]])
def test_wrong_command_line_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().out == ""


def test_failed_run_ends_with_1_and_one_sentence(tmp_path, capsys):
    assert main(["onnx", str(tmp_path / "nothing"), "--out", str(tmp_path / "bundle")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("glam-export: no checkpoint at")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("module", ["safetensors", "onnx"])
def test_export_without_its_extra_names_it_and_loads_nothing_for_it(module, tmp_path):
    script = f"import sys; sys.modules[{module!r}] = None; from glam_export.cli import main; "
    script += f"code = main(['onnx', {str(tmp_path)!r}, '--out', 'bundle']); print('torch' in sys.modules); "
    script += "sys.exit(code)"
    outcome = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert outcome.returncode == 1
    assert outcome.stdout == "False\n"
    assert outcome.stderr == f'glam-export: {module} is not installed: pip install "glam-mammo[export]"\n'


def test_help_imports_nothing_heavy():
    script = """
import sys
from glam_export.cli import main
try:
    main(["onnx", "--help"])
except SystemExit as stop:
    assert stop.code == 0
heavy = {"torch", "onnx", "onnxruntime", "numpy", "pydicom", "scipy"} & set(sys.modules)
print(sorted(heavy))
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"
