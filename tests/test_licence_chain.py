"""The licence gate by the commands a person types: weights of unknown licence, two steps on phantoms, a bundle."""

import json
import shutil
from pathlib import Path

import pytest

from glam.bundle import BundleError, read_bundle
from glam.config import FrameConfig
from glam.files import file_sha256
from glam.licence import NO_LICENCE_NEEDED, permission, write_provenance
from glam_export.cli import main as glam_export
from glam_export.permission import bundle_provenance, without_provenance
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
        assert (
            f"{flag} is not permitted by start_from: nothing records what these weights saw" in capsys.readouterr().err
        )
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
    named["start_from"] |= {"licence": "CC BY 4.0", "permits": ["serve"]}
    printed.write_text(json.dumps(named))
    assert export(checkpoint, tmp_path / "named", "--provenance", str(printed), "--may-serve") == 1
    assert "start_from has permits for weights of which nothing is recorded" in capsys.readouterr().err


@pytest.fixture(scope="module")
def phantoms(random_checkpoint: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that two runs of phantoms made, the second of them by the command."""
    folder = tmp_path_factory.mktemp("phantoms-only")
    start = shutil.copytree(random_checkpoint, folder / "start")
    write_provenance(start, {"data": {"kind": "phantoms", "seed": 0}, "synthetic": True, "start_from": None})
    words = ["--cache", str(cache), "--start-from", str(start), "--out", str(folder / "run"), "--preset", "tiny"]
    assert glam_train(["pretrain", *words, "--steps", "1", "--batch-size", "2", "--device", "cpu"]) == 0
    return checkpoints(folder / "run")[-1]


def forged(folder: Path, **changes: object) -> dict:
    """What `glam-train provenance` prints of a model of phantoms, bound to the weights in a folder."""
    sha256 = file_sha256(folder / "weights.safetensors")
    data = {"kind": "phantoms", "seed": 1, "pairs": 2}
    content = {"data": data, "synthetic": True, "licence": NO_LICENCE_NEEDED, "start_from": None}
    return content | {"weights_sha256": sha256} | changes


def refusal(checkpoint: Path, statement: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    """What the export of a checkpoint says when it refuses, which it must."""
    path = tmp_path / "statement.json"
    path.write_text(json.dumps(statement))
    capsys.readouterr()
    assert export(checkpoint, tmp_path / "refused", "--provenance", str(path), *flags) == 1
    assert not (tmp_path / "refused").exists()
    return capsys.readouterr().err


def test_a_record_that_was_deleted_is_not_replaced_by_one_that_is_typed(
    washed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    checkpoint = shutil.copytree(checkpoints(washed)[-1], tmp_path / "checkpoint")
    (checkpoint / "provenance.json").unlink()
    told = refusal(checkpoint, forged(checkpoint), tmp_path, capsys)
    assert "says synthetic of weights that carry no record of it" in told
    licensed = {"data": "ours", "licence": "CC0 1.0", "permits": ["serve", "share"]}
    told = refusal(checkpoint, licensed, tmp_path, capsys)
    assert "has permits for weights of which nothing is recorded" in told
    told = refusal(checkpoint, {"data": "ours", "licence": "CC0 1.0"}, tmp_path, capsys, "--may-share")
    assert "--may-share is not permitted by the provenance: nothing records what these weights saw" in told
    told = refusal(checkpoint, {"licence": "CC0 1.0", "start_from": None}, tmp_path, capsys)
    assert "leave start_from out" in told
    assert export(checkpoint, tmp_path / "none") == 1
    assert "put back the one that was written with its weights" in capsys.readouterr().err


def test_putting_the_record_back_is_a_way_out(phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    checkpoint = shutil.copytree(phantoms, tmp_path / "renamed" / "by hand")
    (checkpoint / "provenance.json").unlink()
    assert "weights that carry no record" in refusal(checkpoint, forged(checkpoint), tmp_path, capsys)
    shutil.copyfile(phantoms / "provenance.json", checkpoint / "provenance.json")
    assert export(checkpoint, tmp_path / "bundle", "--may-serve", "--may-share") == 0
    bundle = read_bundle(tmp_path / "bundle")
    assert (bundle.may_serve, bundle.may_share) == (True, True)


def test_training_from_weights_without_their_record_permits_nothing(
    phantoms: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    start = shutil.copytree(phantoms, tmp_path / "start")
    (start / "provenance.json").unlink()
    for number in (1, 2):
        words = ["--cache", str(cache), "--start-from", str(start), "--out", str(tmp_path / f"run-{number}")]
        options = ["--preset", "tiny", "--steps", "1", "--batch-size", "2", "--device", "cpu"]
        assert glam_train(["pretrain", *words, *options]) == 0
        start = checkpoints(tmp_path / f"run-{number}")[-1]
        assert permission(bundle_provenance(start, None)) == (False, False)
    statement = {"start_from": {"start_from": forged(phantoms)}}
    told = refusal(start, statement, tmp_path, capsys)
    assert "start_from.start_from says synthetic of weights that carry no record of it" in told


@pytest.mark.parametrize("kind", ["copied", "merged"])
def test_a_record_does_not_pass_to_other_weights(
    washed: Path, phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
):
    from safetensors.torch import load_file, save_file

    checkpoint = shutil.copytree(phantoms, tmp_path / "checkpoint")
    weights, others = checkpoint / "weights.safetensors", checkpoints(washed)[-1] / "weights.safetensors"
    if kind == "copied":
        shutil.copyfile(others, weights)
    else:
        own, theirs = load_file(weights), load_file(others)
        save_file({name: (value + theirs[name]) / 2 for name, value in own.items()}, weights)
    assert export(checkpoint, tmp_path / "bundle") == 1
    assert "is not of the weights beside it" in capsys.readouterr().err
    (checkpoint / "provenance.json").unlink()  # the way out that the message tells
    assert permission(without_provenance(checkpoint)) == (False, False)
    assert "carry no record" in refusal(checkpoint, forged(checkpoint), tmp_path, capsys)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"permit": []}, "write 'permits'"),
        ({"permits": None}, "permits is a list"),
        ({"permits": "serve"}, "permits is a list"),
        ({"permits": ["SERVE"]}, "permits is a list"),
        ({"permits": ["serve\u200b"]}, "permits is a list"),
        ({"permits": ["serve", "serve"]}, "names an action twice"),
        ({"permits": [["serve"]]}, "permits is a list"),
        ({"permits": [1]}, "permits is a list"),
        ({"synthetic": 1}, "true or false"),
        ({"data": {"kind": "phantoms", "data": {"kind": "manifest"}}}, "of other data"),
        ({"data": [{"kind": "phantoms"}]}, "whose kind is not"),
    ],
)
def test_a_slip_in_a_statement_about_phantoms_is_refused(
    phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict, complaint: str
):
    assert complaint in refusal(phantoms, forged(phantoms) | changes, tmp_path, capsys)


def test_a_statement_may_permit_less_than_phantoms_do(phantoms: Path):
    assert permission(bundle_provenance(phantoms, None)) == (True, True)
    assert permission(bundle_provenance(phantoms, {"permits": []})) == (False, False)
    assert permission(bundle_provenance(phantoms, {"permits": ["serve"]})) == (True, False)
