"""The rule that reads permissions from a provenance, and the provenance that a checkpoint carries."""

import json
import shutil
from pathlib import Path

import pytest

from glam.files import file_sha256, json_object
from glam.findings import finding
from glam.licence import (
    MAX_GENERATIONS,
    LicenceError,
    checkpoint_provenance,
    forbidding,
    permission,
    provenance_of_start,
    withheld_embeddings,
    write_provenance,
)

PHANTOMS = {"data": {"kind": "phantoms", "seed": 1}, "synthetic": True, "start_from": None}
OPEN = {"data": "ours", "licence": "CC BY 4.0", "permits": ["serve", "share"], "start_from": None}
SERVED = OPEN | {"permits": ["serve"]}
UNKNOWN = {"data": None, "licence": None, "weights_sha256": "0"}


def from_(generation: dict, start: dict) -> dict:
    return generation | {"start_from": start}


@pytest.mark.parametrize(
    ("provenance", "permitted"),
    [
        ({}, (False, False)),
        (PHANTOMS, (True, True)),
        (PHANTOMS | {"permits": ["serve"], "licence": "ours"}, (True, False)),
        ({"data": {"kind": "phantoms"}, "start_from": None}, (False, False)),
        ({"data": {"kind": "phantoms"}, "synthetic": True}, (False, False)),  # what it started from is not said
        (OPEN, (True, True)),
        (SERVED, (True, False)),
        (OPEN | {"permits": []}, (False, False)),
        ({"data": "EMBED", "licence": "EMBED's", "start_from": None}, (False, False)),
        (from_(PHANTOMS, UNKNOWN), (False, False)),
        (from_(PHANTOMS, PHANTOMS), (True, True)),
        (from_(PHANTOMS, SERVED), (True, False)),
        (from_(SERVED, from_(OPEN, PHANTOMS | {"licence": "x", "permits": ["share"]})), (False, False)),
        (from_(PHANTOMS, from_(PHANTOMS, from_(PHANTOMS, UNKNOWN))), (False, False)),
        ({"data": "ours", "licence": "CC BY", "permits": ["serve"]}, (False, False)),
        (OPEN | {"data": None}, (False, False)),
        (OPEN | {"data": "  "}, (False, False)),
        (OPEN | {"data": "not stated"}, (False, False)),
        (OPEN | {"data": {}}, (False, False)),
        ({name: value for name, value in OPEN.items() if name != "data"}, (False, False)),
        (OPEN | {"start_from": {}}, (False, False)),
        (OPEN | {"stated_by_exporter": ["licence", "permits"]}, (True, True)),
        (OPEN | {"stated_by_exporter": ["licence", "permits", "start_from"]}, (False, False)),
        (PHANTOMS | {"stated_by_exporter": ["synthetic"]}, (False, False)),
        (PHANTOMS | {"permits": []}, (False, False)),
        (PHANTOMS | {"metrics": {"kind": "AUC"}, "seed": 1, "objective": "glam", "updates": 2}, (True, True)),
    ],
)
def test_the_strictest_of_all_generations_decides(provenance: dict, permitted: tuple[bool, bool]):
    assert permission(provenance) == permitted


@pytest.mark.parametrize(
    ("provenance", "complaint"),
    [
        (None, "not a JSON object"),
        ([], "not a JSON object"),
        (OPEN | {"permits": "none: do not share"}, "permits is a list"),
        (OPEN | {"permits": "share"}, "permits is a list"),
        (OPEN | {"permits": ["serve", "sell"]}, "permits is a list"),
        (OPEN | {"permits": {"serve": False}}, "permits is a list"),
        (OPEN | {"permits": [["serve"]]}, "permits is a list"),
        (OPEN | {"permits": True}, "permits is a list"),
        (OPEN | {"licence": None}, "rests on a licence"),
        (OPEN | {"licence": "  "}, "rests on a licence"),
        (OPEN | {"licence": "Unknown"}, "rests on a licence"),
        (OPEN | {"licence": ["CC BY"]}, "licence is a text"),
        (PHANTOMS | {"synthetic": "true"}, "true or false"),
        (PHANTOMS | {"synthetic": 1}, "true or false"),
        (PHANTOMS | {"data": {"kind": "manifest"}}, 'not "phantoms"'),
        (PHANTOMS | {"data": "phantoms"}, 'not "phantoms"'),
        (PHANTOMS | {"data": [{"kind": "phantoms"}]}, 'not "phantoms"'),
        (PHANTOMS | {"Synthetic": "true"}, "write 'synthetic'"),
        (PHANTOMS | {"start-from": None}, "write 'start_from'"),
        (OPEN | {"license": "CC BY"}, "write 'licence'"),
        (OPEN | {"Permits": []}, "write 'permits'"),
        (PHANTOMS | {"permit": []}, "write 'permits'"),
        (PHANTOMS | {"permits ": []}, "write 'permits'"),
        (PHANTOMS | {"\u0440ermits": []}, "write 'permits'"),  # a Cyrillic letter that looks like p
        (PHANTOMS | {"permi\u0301ts": []}, "write 'permits'"),
        (PHANTOMS | {"\uff50ermits": []}, "write 'permits'"),  # a letter of full width
        (PHANTOMS | {"permissions": []}, "write 'permits'"),
        (PHANTOMS | {"may_share": False}, "write 'permits'"),
        (PHANTOMS | {"parent": {"data": "EMBED"}}, "write 'start_from'"),
        (PHANTOMS | {"started_from": {"data": "EMBED"}}, "write 'start_from'"),
        ({"data": {"kind": "phantoms"}, "synthet\u0456c": True, "start_from": None}, "write 'synthetic'"),
        (PHANTOMS | {"permits": None}, "permits is a list"),
        (OPEN | {"permits": ["Share"]}, "permits is a list"),
        (OPEN | {"permits": ["share "]}, "permits is a list"),
        (OPEN | {"permits": ["sh\u0430re"]}, "permits is a list"),  # a Cyrillic a
        (OPEN | {"permits": [1, 2]}, "permits is a list"),
        (OPEN | {"permits": [["serve"], ["share"]]}, "permits is a list"),
        (OPEN | {"permits": ["share", "share"]}, "names an action twice"),
        (OPEN | {"licence": "CC BY, do not share the weights"}, "forbids in words"),
        (OPEN | {"licence": "EMBED: must not be redistributed"}, "forbids in words"),
        *(
            (OPEN | {"licence": words}, "forbids in words")
            for words in (
                "EMBED; sharing prohibited",
                "cannot be shared",
                "do  not share",
                "do not re-distribute",
                "can't share",
                "must not leave the hospital",
                "internal use only",
                "forbidden to pass on",
            )
        ),
        (OPEN | {"licence": "licence unknown"}, "rests on a licence"),
        (PHANTOMS | {"derived_from": "EMBED"}, "'derived_from', which no record of phantoms has"),
        (PHANTOMS | {"data": {"kind": "phantoms", "sources": ["EMBED"]}}, "'sources', which no record of phantoms"),
        (OPEN | {"licence": "none needed: synthetic phantoms, no patient"}, "are not synthetic: name their licence"),
        (PHANTOMS | {"synthetic": None}, "true or false"),
        (PHANTOMS | {"data": {"kind": "Phantoms"}}, 'not "phantoms"'),
        (PHANTOMS | {"data": {"data": {"kind": "phantoms"}}}, 'not "phantoms"'),
        (PHANTOMS | {"data": [[{"kind": "phantoms"}]]}, 'not "phantoms"'),
        (PHANTOMS | {"data": {"kind": "phantoms", "also": [{"kind": "manifest"}]}}, "hold 'kind' of other data"),
        (PHANTOMS | {"data": {"kind": "phantoms", "data": "EMBED"}}, "hold 'data' of other data"),
        (PHANTOMS | {"data": {"kind": "phantoms", "permits": []}}, "hold 'permits' of other data"),
        (PHANTOMS | {"also": [[{"licence": "EMBED's"}]]}, "hold 'licence' of other data"),
        (OPEN | {"stated_by_exporter": "start_from"}, "is a list of fields"),
        (OPEN | {"stated_by_exporter": ["start from"]}, "is a list of fields"),
        (OPEN | {"start_from": "runs/embed"}, "start_from is not a JSON object"),
        (OPEN | {"start_from": [PHANTOMS]}, "start_from is not a JSON object"),
        (OPEN | {"start_from": False}, "start_from is not a JSON object"),
        (from_(PHANTOMS, from_(PHANTOMS, OPEN | {"permits": "serve"})), "start_from.start_from: permits"),
    ],
)
def test_a_provenance_of_no_or_of_hidden_meaning_is_refused(provenance: dict, complaint: str):
    with pytest.raises(LicenceError, match=complaint):
        permission(provenance)


def test_generations_without_end_are_refused():
    loop: dict = dict(PHANTOMS)
    loop["start_from"] = loop
    with pytest.raises(LicenceError, match=f"more than {MAX_GENERATIONS} generations"):
        permission(loop)


def test_a_start_with_as_many_generations_as_there_may_be_is_refused_before_the_training(checkpoint: Path):
    longest = dict(PHANTOMS)
    for _ in range(MAX_GENERATIONS - 2):
        longest = from_(PHANTOMS, longest)
    write_provenance(checkpoint, longest)
    assert permission(from_(PHANTOMS, provenance_of_start(checkpoint))) == (True, True)
    write_provenance(checkpoint, from_(PHANTOMS, longest))
    with pytest.raises(LicenceError, match="generations"):
        provenance_of_start(checkpoint)


def test_the_generation_that_forbids_is_named():
    assert forbidding(PHANTOMS, "share") is None
    assert forbidding(SERVED, "share") == "the provenance"
    assert forbidding(from_(PHANTOMS, from_(OPEN, UNKNOWN)), "serve") == "start_from.start_from"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"a": 1, "a": 1}', "'a' is there twice"),
        ('{"x": {"synthetic": false, "synthetic": true}}', "'synthetic' is there twice"),
        ("[1]", "a JSON object is expected, not list"),
        ("null", "not NoneType"),
        ("[" * 100_000, "nested too deeply"),
        (b"\xff", "utf-8"),
    ],
)
def test_json_with_a_second_meaning_is_refused(text: str | bytes, complaint: str):
    with pytest.raises(ValueError, match=complaint):
        json_object(text)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(b"weights")
    return folder


def test_a_checkpoint_that_is_copied_elsewhere_still_knows(checkpoint: Path, tmp_path: Path):
    write_provenance(checkpoint, PHANTOMS)
    copy = shutil.copytree(checkpoint, tmp_path / "far" / "away")
    sha256 = file_sha256(checkpoint / "weights.safetensors")
    assert checkpoint_provenance(copy) == PHANTOMS | {"weights_sha256": sha256}
    assert provenance_of_start(copy) == checkpoint_provenance(checkpoint)


def test_a_provenance_beside_other_weights_is_refused_until_it_is_deleted(checkpoint: Path):
    write_provenance(checkpoint, PHANTOMS)
    (checkpoint / "weights.safetensors").write_bytes(b"weights of EMBED")
    for read in (checkpoint_provenance, provenance_of_start):
        with pytest.raises(LicenceError, match=r"is not of the weights beside it: .* delete the file"):
            read(checkpoint)
    (checkpoint / "provenance.json").unlink()
    assert checkpoint_provenance(checkpoint) is None
    assert permission(from_(PHANTOMS, provenance_of_start(checkpoint))) == (False, False)


@pytest.mark.parametrize("content", ["{", "[]", json.dumps(PHANTOMS), '{"weights_sha256": "a", "weights_sha256": "b"}'])
def test_a_provenance_that_does_not_read_or_names_no_weights_is_refused(checkpoint: Path, content: str):
    (checkpoint / "provenance.json").write_text(content)
    with pytest.raises(LicenceError, match=r"provenance\.json"):
        checkpoint_provenance(checkpoint)


def test_embeddings_are_withheld_where_they_might_leave_and_the_way_out_is_told():
    assert withheld_embeddings(may_share=True, stays_here=False, way_out="x") is None
    assert withheld_embeddings(may_share=False, stays_here=True, way_out="x") is None
    told = withheld_embeddings(may_share=False, stays_here=False, way_out="ask here")
    assert told == finding("embedding_withheld", way_out="ask here")
    assert told.severity == "warning"
    assert told.message.endswith("(may_share is false): ask here")


@pytest.mark.parametrize(
    "licence",
    [
        *("n.a.", "none.", "None given", "unlicensed", "No licence", "not known", "TODO: ask", "\u200b", "N/A"),
        *("tbc", "to be determined", "pending", "\uff4e\uff4f\uff4e\uff45", "0", "undefined", "NaN", "-- ? --"),
    ],
)
def test_what_people_write_for_no_licence_names_none(licence: str):
    with pytest.raises(LicenceError, match="licence"):
        permission({"data": "ours", "licence": licence, "permits": ["serve"], "start_from": None})


def test_phantoms_under_another_licence_permit_only_what_is_written_down():
    phantoms = {"data": {"kind": "phantoms"}, "synthetic": True, "start_from": None}
    with pytest.raises(LicenceError, match="say with permits"):
        permission(phantoms | {"licence": "CC BY-NC: do not share"})
    assert permission(phantoms | {"licence": "CC BY-NC", "permits": ["serve"]}) == (True, False)
