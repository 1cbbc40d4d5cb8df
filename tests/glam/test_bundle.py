import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from glam.bundle import BUNDLE_FORMAT, DEMO_BUNDLE, BundleError, read_bundle, write_bundle
from glam.config import tiny
from glam.files import file_sha256
from glam.golden import write_golden
from glam.prepare import prepare, prepare_sha
from glam.words.tokens import train_wordpiece

CONFIG = tiny()
WEIGHTS = {"weights_sha256": "1" * 64}
LICENSED = {"data": "ours", "licence": "CC BY 4.0", "permits": ["serve"], "start_from": None} | WEIGHTS


def manifest(**changes):
    said = {
        "name": "phantom",
        "version": "1.2.0",
        "may_serve": True,
        "may_share": False,
        "provenance": LICENSED,
        "export": WEIGHTS,
        "metrics": {"auc": 0.5},
        "calibration": {},
        "classes": {"density": ["a", "b"]},
        "scale": 14.0,
        "prepare_sha": prepare_sha(CONFIG.frame),
        "model": CONFIG.as_json(),
    }
    return said | changes


def fill(folder, golden, **changes):
    for name in ("vision.onnx", "alignment.onnx", "text.onnx"):
        (folder / name).write_bytes(name.encode())
    train_wordpiece(["the breast is dense"], vocab_size=100).save(folder / "tokenizer.json")
    np.savez(folder / "prompts.npz", density=np.eye(2, 128, dtype=np.float32))
    shutil.copytree(golden, folder / "golden")
    return manifest(**changes)


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden") / "golden"
    write_golden(folder, CONFIG.frame)
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory, golden):
    out = tmp_path_factory.mktemp("bundle") / "phantom"
    return write_bundle(out, lambda folder: fill(folder, golden)).folder


@pytest.fixture
def folder(tmp_path, written):
    return shutil.copytree(written, tmp_path / "bundle")


def edit(folder, **changes):
    path = folder / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refusal(folder):
    with pytest.raises(BundleError) as caught:
        read_bundle(folder)
    assert str(caught.value) == caught.value.message
    return caught.value


def test_bundle_reads_back_as_written(written):
    bundle = read_bundle(written)
    assert (bundle.name, bundle.version, bundle.model, bundle.scale) == ("phantom", "1.2.0", CONFIG, 14.0)
    assert (bundle.may_serve, bundle.may_share) == (True, False)
    assert bundle.classes == {"density": ("a", "b")}
    assert (bundle.provenance, bundle.metrics, bundle.calibration) == (LICENSED, {"auc": 0.5}, {})
    assert len(bundle.sha256) == 64


def test_class_vectors_and_tokenizer_come_from_the_bundle(written):
    bundle = read_bundle(written, verify=False)
    np.testing.assert_array_equal(bundle.class_vectors("density"), np.eye(2, 128))
    assert bundle.tokenizer().unknown_words("the breast is odd") == ("odd",)


def test_manifest_is_readable_and_lists_every_other_file(written):
    text = (written / "bundle.json").read_text()
    assert text.startswith(f'{{\n  "format": {BUNDLE_FORMAT},\n  "name": "phantom"')
    there = {path.relative_to(written).as_posix() for path in written.rglob("*") if path.is_file()}
    assert set(json.loads(text)["files"]) == there - {"bundle.json"}


def test_folder_without_a_manifest_names_the_command_that_makes_one(tmp_path):
    error = refusal(tmp_path / "nowhere")
    assert error.code == "bundle_missing"
    assert "glam-export onnx" in error.message


def test_newer_format_is_refused_with_the_way_out_before_anything_else_is_read(folder):
    (folder / "bundle.json").write_text(json.dumps({"format": BUNDLE_FORMAT + 1}))
    error = refusal(folder)
    assert error.code == "bundle_newer"
    assert "pip install -U glam-mammo" in error.message


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format": "1"}', '{"format": 0}', '{"format": 2}'])
def test_manifest_that_is_none_is_refused(folder, text):
    (folder / "bundle.json").write_text(text)
    assert refusal(folder).code == "bundle_unreadable"


@pytest.mark.parametrize(
    "changes",
    [
        {"model": CONFIG.as_json() | {"flavour": 1}},
        {"may_serve": "no"},
        {"may_share": None},
        {"scale": "high"},
        {"scale": float("nan")},
        {"scale": float("inf")},
        {"scale": 0},
        {"scale": -14.0},
        {"files": {"vision.onnx": {}}},
        {"files": {"vision.onnx": []}},
        {"files": {"vision.onnx": {"sha256": 1}}},
        {"files": {"../../secret": {"sha256": "", "bytes": 0}}},
        {"files": {"/etc/passwd": {"sha256": "", "bytes": 0}}},
        {"files": {"./vision.onnx": {"sha256": "", "bytes": 0}}},
        {"format": True},
    ],
)
def test_manifest_with_a_value_of_no_meaning_is_refused(folder, changes):
    edit(folder, **changes)
    assert refusal(folder).code == "bundle_unreadable"


def test_changed_file_is_refused_by_name(folder):
    (folder / "vision.onnx").write_bytes(b"visioN.onnx")
    error = refusal(folder)
    assert error.code == "bundle_changed"
    assert "vision.onnx" in error.message


def test_changed_file_is_not_looked_at_without_verify(folder):
    (folder / "vision.onnx").write_bytes(b"other")
    assert read_bundle(folder, verify=False).name == "phantom"


def test_missing_file_is_refused_by_name(folder):
    (folder / "golden" / "mlo.dcm").unlink()
    error = refusal(folder)
    assert error.code == "bundle_incomplete"
    assert "mlo.dcm" in error.message


def test_manifest_that_forgets_a_graph_is_refused(folder):
    files = json.loads((folder / "bundle.json").read_text())["files"]
    edit(folder, files={name: entry for name, entry in files.items() if name != "text.onnx"})
    assert refusal(folder).code == "bundle_incomplete"


@pytest.mark.parametrize("name", ["NOTES.txt", ".DS_Store", "vision.onnx~", "golden/third.dcm", "a/b/weights.pkl"])
def test_file_that_is_not_listed_is_refused_by_name_until_it_is_deleted(folder, name):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"mine")
    error = refusal(folder)
    assert error.code == "bundle_stray"
    assert str(folder / Path(name).parts[0]) in error.message
    assert "delete it" in error.message
    path.unlink()
    if name.startswith("a/"):
        shutil.rmtree(folder / "a")
    assert read_bundle(folder).name == "phantom"


def test_empty_folder_in_a_bundle_is_refused(folder):
    (folder / "golden" / "more").mkdir()
    assert refusal(folder).code == "bundle_stray"


@pytest.mark.parametrize("name", ["vision.onnx", "bundle.json", "golden"])
def test_link_in_a_bundle_is_refused_though_it_leads_to_the_right_file(folder, tmp_path, name):
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    error = refusal(folder)
    assert (error.code, str(folder / name) in error.message) == ("bundle_stray", True)


def test_bundle_is_found_by_a_link_to_its_folder(folder, tmp_path):
    (tmp_path / "current").symlink_to(folder)
    assert read_bundle(tmp_path / "current").name == "phantom"


def test_listed_file_that_is_no_part_of_a_bundle_is_refused(folder):
    (folder / "weights.pkl").write_bytes(b"pickle")
    files = json.loads((folder / "bundle.json").read_text())["files"]
    edit(folder, files=files | {"weights.pkl": {"sha256": file_sha256(folder / "weights.pkl"), "bytes": 6}})
    error = refusal(folder)
    assert error.code == "bundle_stray"
    assert "lists weights.pkl" in error.message


def test_key_that_is_there_twice_is_refused(folder):
    path = folder / "bundle.json"
    path.write_text(path.read_text().replace('"may_share": false', '"may_share": true,\n  "may_share": false'))
    error = refusal(folder)
    assert error.code == "bundle_unreadable"
    assert "'may_share' is there twice" in error.message


def test_manifest_that_is_nested_without_end_is_refused(folder):
    deep = '{"start_from": ' * 200_000 + "null" + "}" * 200_000
    path = folder / "bundle.json"
    path.write_text(path.read_text().replace('"start_from": null', f'"start_from": {deep}'))
    assert refusal(folder).code == "bundle_unreadable"


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        {"may_share": True},
        {"provenance": LICENSED | {"permits": []}},
        {"provenance": LICENSED | {"start_from": {"data": "EMBED", "licence": None}}},
        {"provenance": {"data": "ours", "licence": "CC BY 4.0", "permits": ["serve"]} | WEIGHTS},
        {"provenance": LICENSED | {"stated_by_exporter": ["licence", "permits", "start_from"]}},
        {"provenance": WEIGHTS},
    ],
)
def test_flag_that_exceeds_the_provenance_is_found(folder, changes, verify):
    edit(folder, **changes)
    with pytest.raises(BundleError, match="which its provenance does not permit") as caught:
        read_bundle(folder, verify=verify)
    assert caught.value.code == "bundle_permission"


def test_flag_that_is_stricter_than_the_provenance_is_kept(folder):
    edit(folder, may_serve=False)
    assert not read_bundle(folder).may_serve


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"permits": "none: do not share"}, "permits is a list"),
        ({"licence": ""}, "permits rests on a licence"),
        ({"Start_From": None}, "write 'start_from'"),
        ({"weights_sha256": "0" * 64}, "of other weights"),
    ],
)
def test_provenance_that_cannot_be_followed_is_refused(folder, changes, complaint):
    edit(folder, provenance=LICENSED | changes, may_serve=False)
    error = refusal(folder)
    assert error.code == "bundle_provenance"
    assert complaint in error.message


def test_provenance_of_no_known_weights_permits_nothing(folder):
    unbound = {name: value for name, value in LICENSED.items() if name not in WEIGHTS}
    edit(folder, provenance=unbound, export={})
    assert refusal(folder).code == "bundle_provenance"
    assert "of which weights" in refusal(folder).message
    edit(folder, may_serve=False)
    assert not read_bundle(folder).may_serve


@pytest.mark.parametrize("provenance", [None, [], "phantoms", True])
def test_provenance_that_is_no_object_is_refused(folder, provenance):
    edit(folder, provenance=provenance)
    assert refusal(folder).code == "bundle_provenance"


def test_bundle_of_format_1_is_refused_for_it_does_not_say_what_it_started_from(folder):
    edit(folder, format=1)
    assert refusal(folder).code == "bundle_older"
    assert "export it again" in refusal(folder).message


def test_demo_bundle_permits_what_it_says():
    demo = read_bundle(DEMO_BUNDLE, verify=False)
    assert (demo.may_serve, demo.may_share, demo.provenance["synthetic"]) == (True, True, True)


@pytest.mark.parametrize("text", ["[]", "{", "{}", '{"cc.dcm": []}', '{"cc.dcm": {"grid": [1, 2], "frame": {}}}'])
def test_golden_record_that_does_not_read_is_refused(folder, text):
    path = folder / "golden" / "expected.json"
    path.write_text(text)
    files = json.loads((folder / "bundle.json").read_text())["files"]
    edit(folder, files=files | {"golden/expected.json": {"sha256": file_sha256(path), "bytes": len(text)}})
    error = refusal(folder)
    assert error.code == "bundle_unreadable"
    assert "export the bundle again" in error.message


def test_other_preparation_parameters_are_refused(folder):
    edit(folder, model=replace(CONFIG, frame=replace(CONFIG.frame, align_mlo=False)).as_json())
    assert refusal(folder).code == "bundle_preparation"


def test_other_preparation_version_is_refused(folder, monkeypatch):
    monkeypatch.setattr("glam.prepare.PREPARE_VERSION", 0)
    assert refusal(folder).code == "bundle_preparation"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda made: replace(made, pixels=made.pixels * 0.95), "cc.dcm: the mean of a cell is off by"),
        (lambda made: replace(made, frame=moved(made.frame, 0.2)), "cc.dcm: the frame is off by 0.20 px"),
    ],
)
def test_program_that_sees_the_golden_images_otherwise_is_refused(folder, monkeypatch, change, complaint):
    monkeypatch.setattr("glam.prepare.prepare", lambda view, config: change(prepare(view, config)))
    error = refusal(folder)
    assert error.code == "bundle_preparation"
    assert complaint in error.message


def moved(frame, distance_px):
    """The same frame, a distance to the right in the square."""
    return replace(frame, matrix=(*frame.matrix[:2], frame.matrix[2] + distance_px, *frame.matrix[3:]))


def test_difference_within_the_tolerance_is_accepted(folder, monkeypatch):
    def almost(view, config):
        made = prepare(view, config)
        return replace(made, pixels=made.pixels + 0.003, frame=moved(made.frame, -0.09))

    monkeypatch.setattr("glam.prepare.prepare", almost)
    assert read_bundle(folder).name == "phantom"


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir())


def test_failed_build_leaves_nothing(tmp_path):
    def fail(folder):
        (folder / "vision.onnx").write_bytes(b"half")
        raise ValueError("no parity")

    with pytest.raises(ValueError, match="no parity"):
        write_bundle(tmp_path / "bundle", fail)
    assert leftovers(tmp_path) == []


def test_bundle_that_does_not_read_back_never_gets_its_name(tmp_path, golden):
    with pytest.raises(BundleError, match="does not read as a bundle"):
        write_bundle(tmp_path / "bundle", lambda folder: fill(folder, golden, scale=None))
    assert leftovers(tmp_path) == []


def test_bundle_that_is_there_is_kept_unless_asked(folder, golden):
    with pytest.raises(BundleError, match="exists: choose another folder, or ask for --overwrite"):
        write_bundle(folder, lambda new: fill(new, golden, name="second"))
    assert read_bundle(folder, verify=False).name == "phantom"


def test_overwriting_replaces_the_whole_folder(folder, golden):
    (folder / "NOTES.txt").write_text("of the first")
    bundle = write_bundle(folder, lambda new: fill(new, golden, name="second"), overwrite=True)
    assert (bundle.name, bundle.folder) == ("second", folder)
    assert leftovers(folder.parent) == [folder.name]
    assert not (folder / "NOTES.txt").exists()


def test_failed_overwriting_keeps_the_first(folder, golden):
    with pytest.raises(BundleError):
        write_bundle(folder, lambda new: fill(new, golden, scale=None), overwrite=True)
    assert read_bundle(folder).name == "phantom"
    assert leftovers(folder.parent) == [folder.name]


def test_interrupt_between_the_two_renamings_puts_the_first_back(folder, golden, monkeypatch):
    rename = Path.rename

    def interrupted(path, target):
        if path.name == "new":
            assert not folder.exists()
            assert len(leftovers(folder.parent)) == 2  # the scratch folder, and the first bundle beside it
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_bundle(folder, lambda new: fill(new, golden, name="second"), overwrite=True)
    assert read_bundle(folder).name == "phantom"
    assert leftovers(folder.parent) == [folder.name]


def test_folder_that_is_no_bundle_is_never_replaced(tmp_path, golden):
    (tmp_path / "photos").mkdir()
    with pytest.raises(BundleError, match="is no bundle and will not be replaced"):
        write_bundle(tmp_path / "photos", lambda new: fill(new, golden), overwrite=True)
