"""What an exporter may state, beside what a checkpoint carries of itself."""

import json
from pathlib import Path

import pytest

from glam.licence import LicenceError, permission, provenance_of_start, write_provenance
from glam_export.build import Imprint, build_bundle
from glam_export.permission import bundle_provenance, without_provenance

DATA = {"kind": "phantoms", "seed": 1}
PHANTOMS = {"data": DATA, "synthetic": True, "licence": "none needed: synthetic phantoms, no patient"}
MANIFEST = {"data": {"kind": "manifest", "sha256": "ab"}, "synthetic": False, "licence": None, "start_from": None}
NAMED = {"licence": "CC BY 4.0"}
OPEN = NAMED | {"permits": ["serve", "share"]}


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkpoint that carries nothing, its weights no more than a name."""
    return folder_of(tmp_path / "bare")


def folder_of(folder: Path) -> Path:
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(folder.name.encode())
    return folder


def carrying(tmp_path: Path, provenance: dict, name: str = "carrying") -> Path:
    folder = folder_of(tmp_path / name)
    write_provenance(folder, provenance)
    return folder


def permitted(*arguments: object) -> tuple[bool, bool]:
    return permission(bundle_provenance(*arguments))


def test_what_a_checkpoint_carries_is_enough(tmp_path: Path):
    assert permitted(carrying(tmp_path, PHANTOMS | {"start_from": None}), None) == (True, True)
    assert permitted(carrying(tmp_path, MANIFEST, "real"), None) == (False, False)


@pytest.mark.parametrize(
    ("statement", "flags", "expected"),
    [
        (NAMED, (), (False, False)),
        (NAMED, ("serve",), (True, False)),
        (NAMED, ("serve", "share"), (True, True)),
        (NAMED | {"permits": ["share"]}, (), (False, True)),
        (NAMED | {"permits": ["share"]}, ("share",), (False, True)),
        (OPEN, (), (True, True)),
    ],
)
def test_a_named_licence_permits_what_its_exporter_says_of_recorded_data(tmp_path: Path, statement, flags, expected):
    assert permitted(carrying(tmp_path, MANIFEST), statement, flags) == expected


@pytest.mark.parametrize(
    "statement", [NAMED, NAMED | {"data": "ours"}, NAMED | {"permits": []}, NAMED | {"stated_by_exporter": []}]
)
def test_weights_without_a_record_permit_nothing_whatever_is_stated(bare: Path, statement: dict):
    assert permitted(bare, statement) == (False, False)
    for action in ("serve", "share"):
        with pytest.raises(LicenceError, match=r"nothing records what these weights saw|exceeds the permits"):
            bundle_provenance(bare, statement, (action,))


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        (OPEN, "has permits for weights of which nothing is recorded"),
        (NAMED | {"start_from": None}, "says what the weights started from"),
        (NAMED | {"start_from": OPEN | {"data": "x", "start_from": None}}, "says what the weights started from"),
        (PHANTOMS, "says synthetic of weights that carry no record"),
        (PHANTOMS | {"start_from": None}, "says synthetic of weights that carry no record"),
        ({"data": DATA, "synthetic": 1}, "says synthetic of weights that carry no record"),
    ],
)
def test_what_only_a_record_can_vouch_for_is_not_stated(bare: Path, statement: dict, complaint: str):
    of_these = {"weights_sha256": provenance_of_start(bare)["weights_sha256"]}
    for given in (statement, statement | of_these):
        with pytest.raises(LicenceError, match=complaint):
            bundle_provenance(bare, given)


def test_what_the_exporter_said_is_written_down(tmp_path: Path, bare: Path):
    provenance = bundle_provenance(carrying(tmp_path, MANIFEST), NAMED, ("share",))
    assert provenance["permits"] == ["share"]
    assert provenance["stated_by_exporter"] == ["licence", "permits"]
    assert bundle_provenance(bare, NAMED | {"data": "ours"})["stated_by_exporter"] == ["data", "licence"]
    hidden = bundle_provenance(carrying(tmp_path, MANIFEST, "hidden"), NAMED | {"stated_by_exporter": []}, ("share",))
    assert hidden["stated_by_exporter"] == ["licence", "permits"]


@pytest.mark.parametrize("statement", [{"data": "found somewhere"}, {"licence": " "}, {"licence": "unknown"}])
def test_flags_without_a_licence_are_refused(tmp_path: Path, bare: Path, statement: dict):
    for folder in (bare, carrying(tmp_path, MANIFEST | {"data": statement.get("data", "ours")})):
        with pytest.raises(LicenceError, match="rest on a licence"):
            bundle_provenance(folder, statement, ("share",))


def test_a_flag_beyond_the_permits_is_refused(tmp_path: Path):
    with pytest.raises(LicenceError, match="--may-serve exceeds the permits"):
        bundle_provenance(carrying(tmp_path, MANIFEST), NAMED | {"permits": ["share"]}, ("serve", "share"))


def test_a_flag_does_not_lift_an_ancestor_until_its_licence_is_named(tmp_path: Path):
    tuned = carrying(tmp_path, PHANTOMS | {"start_from": provenance_of_start(carrying(tmp_path, MANIFEST, "real"))})
    assert permitted(tuned, None) == (False, False)
    with pytest.raises(LicenceError, match="--may-serve is not permitted by start_from: name its licence"):
        bundle_provenance(tuned, None, ("serve",))
    with pytest.raises(LicenceError, match="not permitted by start_from"):
        bundle_provenance(tuned, {"start_from": NAMED}, ("serve",))
    named = bundle_provenance(tuned, {"start_from": NAMED | {"permits": ["serve"]}}, ("serve",))
    assert permission(named) == (True, False)
    assert named["start_from"]["stated_by_exporter"] == ["licence", "permits"]
    assert "stated_by_exporter" not in named


@pytest.mark.parametrize("generations", [1, 2])
def test_an_ancestor_of_unknown_licence_is_not_lifted_by_a_file(tmp_path: Path, bare: Path, generations: int):
    folder, statement, where = bare, OPEN, ".".join(["start_from"] * generations)
    for number in range(generations):
        folder = carrying(tmp_path, PHANTOMS | {"start_from": provenance_of_start(folder)}, f"tuned-{number}")
        statement = {"start_from": statement}
    with pytest.raises(LicenceError, match=rf"^{where} has permits for weights of which nothing is recorded"):
        bundle_provenance(folder, statement)
    with pytest.raises(LicenceError, match=f"not permitted by {where}: nothing records what these weights saw"):
        bundle_provenance(folder, None, ("share",))


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ({"start_from": None}, "contradicts what the checkpoint carries in start_from"),
        ({"start_from": PHANTOMS | {"start_from": None}}, "start_from says synthetic of weights that carry no record"),
        ({"start_from": {"weights_sha256": "0" * 64} | OPEN}, "start_from in the file contradicts .* of other weights"),
        ({"data": {"kind": "manifest"}}, "contradicts what the checkpoint carries in data"),
        ({"synthetic": False}, "contradicts what the checkpoint carries in synthetic"),
        ({"licence": "CC0 1.0"}, "contradicts what the checkpoint carries in licence"),
    ],
)
def test_a_file_never_changes_what_the_checkpoint_carries(tmp_path: Path, bare: Path, statement: dict, complaint: str):
    tuned = carrying(tmp_path, PHANTOMS | {"start_from": provenance_of_start(bare)})
    with pytest.raises(LicenceError, match=complaint):
        bundle_provenance(tuned, statement)


def test_real_data_cannot_be_called_phantoms(tmp_path: Path):
    for statement in ({"data": DATA, "synthetic": True}, {"synthetic": True}, {"data": DATA}):
        with pytest.raises(LicenceError, match="contradicts"):
            bundle_provenance(carrying(tmp_path, MANIFEST, str(len(statement)) + str(list(statement))), statement)


def test_the_provenance_of_other_weights_is_refused(tmp_path: Path, bare: Path):
    other = carrying(tmp_path, {"data": "ours", "licence": None})
    printed = json.loads((other / "provenance.json").read_text())
    with pytest.raises(LicenceError, match="it is of other weights"):
        bundle_provenance(bare, printed)


def test_an_exporter_may_permit_less_than_phantoms_do(tmp_path: Path):
    provenance = bundle_provenance(carrying(tmp_path, PHANTOMS | {"start_from": None}), {"permits": []})
    assert permission(provenance) == (False, False)
    open_to_all = carrying(tmp_path, MANIFEST | OPEN, "open")
    assert permitted(open_to_all, {"permits": ["share"]}) == (False, True)
    with pytest.raises(LicenceError, match="may permit less"):
        bundle_provenance(carrying(tmp_path, MANIFEST | NAMED | {"permits": ["share"]}, "shared"), OPEN)


def test_without_provenance_nothing_is_permitted_whatever_the_checkpoint_carries(tmp_path: Path):
    folder = carrying(tmp_path, PHANTOMS | {"start_from": None})
    assert permission(without_provenance(folder)) == (False, False)
    with pytest.raises(LicenceError, match="rest on a licence"):
        without_provenance(folder, ("serve",))


def test_a_statement_and_none_exclude_each_other(checkpoint: Path, tmp_path: Path):
    imprint = Imprint(name="both", version="1", provenance=OPEN, without_provenance=True)
    with pytest.raises(ValueError, match="exclude each other"):
        build_bundle(checkpoint, tmp_path / "bundle", imprint)


def test_export_looks_at_the_weights_beside_the_provenance(checkpoint: Path, tmp_path: Path):
    import shutil

    copy = shutil.copytree(checkpoint, tmp_path / "copy")
    (copy / "provenance.json").write_text(json.dumps(PHANTOMS | {"start_from": None, "weights_sha256": "0" * 64}))
    with pytest.raises(LicenceError, match="is not of the weights beside it"):
        build_bundle(copy, tmp_path / "bundle", Imprint(name="copied", version="1", provenance=None))
