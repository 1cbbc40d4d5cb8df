"""The licence gate by the commands a person types: weights of unknown licence, two steps on phantoms, a bundle."""

import json
import shutil
from pathlib import Path

import pytest

from glam.bundle import BundleError, read_bundle
from glam.config import FrameConfig
from glam_export.cli import main as glam_export
from glam_serve.cli import Run
from glam_train.cli import main as glam_train
from glam_train.data.phantom_pairs import cache_phantoms
from glam_train.pretraining.run_folder import checkpoints


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two phantoms, prepared for the model of `random_checkpoint`."""
    folder = tmp_path_factory.mktemp("phantoms")
    list(cache_phantoms(folder, num_pairs=2, seed=5, frame=FrameConfig(size=126)))
    return folder


@pytest.fixture(scope="module")
def washed(random_checkpoint: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of two steps on phantoms that started from a checkpoint of unknown licence."""
    run = tmp_path_factory.mktemp("washed") / "run"
    words = ["--cache", str(cache), "--start-from", str(random_checkpoint), "--out", str(run), "--preset", "tiny"]
    assert glam_train(["pretrain", *words, "--steps", "2", "--batch-size", "2", "--device", "cpu"]) == 0
    return run


def export(checkpoint: Path, out: Path, *words: str) -> int:
    return glam_export(["onnx", str(checkpoint), "--out", str(out), *words])


def test_two_steps_on_phantoms_do_not_make_a_bundle_that_needs_no_licence(
    washed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    checkpoint, printed = checkpoints(washed)[-1], tmp_path / "provenance.json"
    capsys.readouterr()
    assert glam_train(["provenance", "--run-folder", str(washed)]) == 0
    printed.write_text(capsys.readouterr().out)
    for flag in ("--may-serve", "--may-share"):
        assert export(checkpoint, tmp_path / "bundle", "--provenance", str(printed), flag) == 1
        assert f"{flag} is not permitted by start_from: name its licence" in capsys.readouterr().err
        assert not (tmp_path / "bundle").exists()
    assert export(checkpoint, tmp_path / "bundle", "--provenance", str(printed)) == 0
    bundle = read_bundle(tmp_path / "bundle")
    assert (bundle.may_serve, bundle.may_share) == (False, False)
    assert bundle.provenance["start_from"]["licence"] is None
    with pytest.raises(ValueError, match="may not be served on a network"):
        Run(bundle=bundle.folder, host="0.0.0.0", port=8123).run()
    for flag in ("may_serve", "may_share"):
        flipped = shutil.copytree(bundle.folder, tmp_path / flag)
        manifest = json.loads((flipped / "bundle.json").read_text()) | {flag: True}
        (flipped / "bundle.json").write_text(json.dumps(manifest))
        with pytest.raises(BundleError, match=r"does not permit \(see start_from\)") as caught:
            read_bundle(flipped)
        assert caught.value.code == "bundle_permission"
    named = json.loads(printed.read_text())
    named["start_from"] |= {"licence": "CC BY 4.0", "permits": ["serve"]}  # the way out that the message tells
    printed.write_text(json.dumps(named))
    assert export(checkpoint, tmp_path / "named", "--provenance", str(printed), "--may-serve") == 0
    assert (read_bundle(tmp_path / "named").may_serve, read_bundle(tmp_path / "named").may_share) == (True, False)
