"""The provenance that goes into a bundle: what the checkpoint carries, and what its exporter states beside it."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from glam.files import file_sha256
from glam.licence import (
    FIELDS,
    PROVENANCE_FILE,
    LicenceError,
    checkpoint_provenance,
    forbidding,
    generations,
    names_licence,
    path_of,
)

JsonDict = dict[str, Any]

STATED = "stated_by_exporter"


def bundle_provenance(checkpoint: Path, statement: JsonDict | None, flags: Collection[str] = ()) -> JsonDict:
    """Return the provenance of a bundle; LicenceError where it is missing, contradicted or exceeded.

    `statement`: what the exporter wrote down, which fills what the checkpoint's own provenance leaves open and never
    changes what it says. `flags`: "serve" and "share", which the exporter says that the licence of the data permits.
    What does not come from the checkpoint is listed in `stated_by_exporter`, generation by generation.
    """
    carried = checkpoint_provenance(checkpoint)
    if carried is None and statement is None:
        raise LicenceError(
            f"{checkpoint} carries no {PROVENANCE_FILE}: write what it was trained on into a file for --provenance, or "
            "ask for --without-provenance and a bundle that permits nothing"
        )
    known = {"weights_sha256": file_sha256(checkpoint / "weights.safetensors")} if carried is None else carried
    provenance = _with_flags(_filled(known, statement or {}), flags)
    generations(provenance)
    for action in flags:
        if where := forbidding(provenance, action):
            way_out = f"name its licence, and permits with {action!r}, there in the provenance file"
            raise LicenceError(f"--may-{action} is not permitted by {where}: {way_out}")
    return provenance


def without_provenance(checkpoint: Path, flags: Collection[str] = ()) -> JsonDict:
    """Return the provenance of a bundle whose exporter knowingly states none: it permits nothing."""
    provenance = {"data": "not stated: exported without provenance", "licence": None}
    return _with_flags(provenance | {"weights_sha256": file_sha256(checkpoint / "weights.safetensors")}, flags)


def _filled(known: JsonDict, statement: JsonDict, generation: int = 0) -> JsonDict:
    """Return what is known of a generation and those before it, filled where it is open with what the exporter states.

    A stated licence covers whatever the weights started from where nothing is known of that.
    """
    where, filled, stated = path_of(generation), dict(known), set[str]()
    for key, value in statement.items():
        if key == STATED:
            continue
        if key == "start_from" and isinstance(known.get(key), dict) and isinstance(value, dict):
            filled[key] = _filled(known[key], value, generation + 1)
        elif key not in known or (known[key] is None and key != "start_from"):
            filled[key] = value
            stated.add(key)
        elif value != known[key]:
            raise _contradiction(key, where)
    if "synthetic" in stated and filled["synthetic"] and "weights_sha256" not in statement:
        raise LicenceError(
            f"{where} says synthetic of weights that carry no provenance: only what glam-train provenance prints can; "
            "otherwise leave it out, and name licence and permits"
        )
    if "licence" in stated and "start_from" not in filled:
        filled["start_from"] = None
        stated.add("start_from")
    listed = sorted(stated & set(FIELDS))
    return filled | ({STATED: listed} if listed else {})


def _contradiction(key: str, where: str) -> LicenceError:
    if key == "weights_sha256":
        way_out = "it is of other weights, so give that of these, or leave it out where the checkpoint has its own"
    else:
        way_out = f"leave {key} out, or call what you add otherwise"
    return LicenceError(f"{where} in the file contradicts what the checkpoint carries in {key}: {way_out}")


def _with_flags(provenance: JsonDict, flags: Collection[str]) -> JsonDict:
    """Return the provenance with the permissions that the exporter says its licence gives."""
    if not flags:
        return provenance
    if not names_licence(provenance):
        raise LicenceError("--may-serve and --may-share rest on a licence: name the data's in the provenance file")
    if provenance.get("permits") is None:
        if provenance.get("synthetic"):
            return provenance
        stated = sorted({*provenance.get(STATED, ()), "permits"})
        return provenance | {"permits": sorted(flags), STATED: stated}
    if exceeding := sorted(set(flags).difference(provenance["permits"])):
        raise LicenceError(f"--may-{exceeding[0]} exceeds the permits of the provenance file: state it there, or not")
    return provenance
