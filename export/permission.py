"""The provenance that goes into a bundle: what the checkpoint carries, and what its exporter states beside it."""

from collections.abc import Collection
from pathlib import Path

from glam.files import JsonDict, file_sha256
from glam.licence import PROVENANCE_FILE, checkpoint_provenance, forbidding, generations, path_of, provenance_of_start
from glam.provenance import FIELDS, STATED, LicenceError, names_licence


def bundle_provenance(checkpoint: Path, statement: JsonDict | None, flags: Collection[str] = ()) -> JsonDict:
    """Return the provenance of a bundle; LicenceError where it is missing, contradicted or exceeded.

    `statement`: what the exporter wrote down. It names the licence, and what that permits, of generations that the
    checkpoint has a record of; it may always permit less; it never changes what the record says. `flags`: "serve" and
    "share", which the exporter says that the licence of the data permits. What does not come from the checkpoint is
    listed in `stated_by_exporter`, generation by generation.
    """
    carried = checkpoint_provenance(checkpoint)
    if carried is None and statement is None:
        raise LicenceError(
            f"{checkpoint} carries no {PROVENANCE_FILE}: put back the one that was written with its weights, or ask for"
            " --without-provenance and a bundle that permits nothing"
        )
    recorded = provenance_of_start(checkpoint) if carried is None else carried
    provenance = _with_flags(_filled(recorded, statement or {}), flags)
    generations(provenance)
    for action in flags:
        if where := forbidding(provenance, action):
            raise LicenceError(f"--may-{action} is not permitted by {where}: {_way_out(provenance, where, action)}")
    return provenance


def without_provenance(checkpoint: Path, flags: Collection[str] = ()) -> JsonDict:
    """Return the provenance of a bundle whose exporter knowingly states none: it permits nothing."""
    provenance = {"data": "not stated: exported without provenance", "licence": None}
    return _with_flags(provenance | {"weights_sha256": file_sha256(checkpoint / "weights.safetensors")}, flags)


def _way_out(provenance: JsonDict, where: str, action: str) -> str:
    """Return what to do about the first generation that does not permit an action."""
    generation = next(each for index, each in enumerate(generations(provenance)) if path_of(index) == where)
    if "start_from" in generation:
        return f"name its licence, and permits with {action!r}, there in the provenance file"
    return f"nothing records what these weights saw: start from a checkpoint with its {PROVENANCE_FILE}"


def _filled(recorded: JsonDict, statement: JsonDict, generation: int = 0) -> JsonDict:
    """Return the record of a generation and those before it, filled where it is open with what the exporter states."""
    where, filled, stated = path_of(generation), dict(recorded), set[str]()
    for key, value in statement.items():
        if key == STATED:
            continue
        if key == "start_from" and isinstance(recorded.get(key), dict) and isinstance(value, dict):
            filled[key] = _filled(recorded[key], value, generation + 1)
        elif key == "permits" and _permits_less(value, recorded.get(key)):
            filled[key] = value
            stated.add(key)
        elif key not in recorded or (recorded[key] is None and key != "start_from"):
            _refuse_unrecorded(key, value, recorded, where)
            filled[key] = value
            stated.add(key)
        elif value != recorded[key] or type(value) is not type(recorded[key]):
            raise _contradiction(key, where)
    listed = sorted(stated & set(FIELDS))
    return filled | ({STATED: listed} if listed else {})


def _permits_less(stated: object, recorded: object) -> bool:
    return isinstance(stated, list) and isinstance(recorded, list) and all(action in recorded for action in stated)


def _refuse_unrecorded(key: str, value: object, recorded: JsonDict, where: str) -> None:
    """LicenceError for what only a record could vouch for: that data are synthetic, a start, permits without either."""
    if key == "synthetic" and value is not False:
        raise LicenceError(
            f"{where} says synthetic of weights that carry no record of it: leave it out, or export the checkpoint with"
            f" the {PROVENANCE_FILE} that glam-train wrote beside its weights"
        )
    if key == "start_from":
        raise LicenceError(
            f"{where} says what the weights started from, which their checkpoint has no record of: leave start_from out"
        )
    if key == "permits" and value and "start_from" not in recorded:
        raise LicenceError(
            f"{where} has permits for weights of which nothing is recorded: leave permits out, and the bundle permits"
            f" nothing, or export the checkpoint with the {PROVENANCE_FILE} that was written with its weights"
        )


def _contradiction(key: str, where: str) -> LicenceError:
    if key == "weights_sha256":
        way_out = "it is of other weights, so give that of these, or leave it out"
    elif key == "permits":
        way_out = "a file may permit less than the checkpoint does, and no more"
    else:
        way_out = f"leave {key} out, or call what you add otherwise"
    return LicenceError(f"{where} in the file contradicts what the checkpoint carries in {key}: {way_out}")


def _with_flags(provenance: JsonDict, flags: Collection[str]) -> JsonDict:
    """Return the provenance with the permissions that the exporter says its licence gives."""
    if not flags:
        return provenance
    if not names_licence(provenance):
        raise LicenceError("--may-serve and --may-share rest on a licence: name the data's in the provenance file")
    if "permits" not in provenance:
        if provenance.get("synthetic"):
            return provenance
        stated = sorted({*provenance.get(STATED, ()), "permits"})
        return provenance | {"permits": sorted(flags), STATED: stated}
    if exceeding := sorted(set(flags).difference(provenance["permits"])):
        raise LicenceError(f"--may-{exceeding[0]} exceeds the permits of the provenance file: state it there, or not")
    return provenance
