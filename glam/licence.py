"""What may be done with a model: the record of what it was trained on (provenance), and the one rule that reads it.

A provenance is a JSON object about one generation of weights. `start_from` holds that of the weights it started from,
null for random ones, and so on back to the first. Export, the reader of bundles and training all ask this module.
"""

from pathlib import Path
from typing import NamedTuple

from glam.files import JsonDict, file_sha256, json_object, write_json
from glam.findings import Finding, finding
from glam.provenance import ACTIONS, NO_LICENCE_NEEDED, PHANTOMS, LicenceError, check_generation, permitted_by

__all__ = [
    "ACTIONS",
    "NO_LICENCE_NEEDED",
    "PHANTOMS",
    "PROVENANCE_FILE",
    "PUBLISHED",
    "LicenceError",
    "Permission",
    "SharingWarning",
    "checkpoint_provenance",
    "forbidding",
    "generations",
    "path_of",
    "permission",
    "provenance_of_start",
    "provenance_of_weights",
    "read_provenance",
    "withheld_embeddings",
    "write_provenance",
]

PROVENANCE_FILE = "provenance.json"
"""In a checkpoint folder, beside weights.safetensors: the record of these weights."""
MAX_GENERATIONS = 64
PUBLISHED = "published weights"
"""`data.kind` of what others trained and published: the files that towers start from, each with its hashes."""


class SharingWarning(UserWarning):
    """Embeddings of a model whose licence keeps them on this machine are in the program's hands."""


class Permission(NamedTuple):
    """What may be done with a model."""

    may_serve: bool
    """On a network."""
    may_share: bool
    """Its embeddings may leave the machine."""


def permission(provenance: JsonDict) -> Permission:
    """Return what every generation of a provenance permits; LicenceError for one that cannot be followed.

    A generation permits what its licence is said to permit (`licence` and `permits`); synthetic phantoms without
    `permits` permit everything. One permits nothing that does not say what it was trained on and what it started from,
    or says it in the words of an exporter only.
    """
    permitted = [permitted_by(generation) for generation in generations(provenance)]
    return Permission(*(all(action in actions for actions in permitted) for action in ACTIONS))


def forbidding(provenance: JsonDict, action: str) -> str | None:
    """Return the path of the first generation that does not permit an action, as in "start_from.start_from"."""
    for index, generation in enumerate(generations(provenance)):
        if action not in permitted_by(generation):
            return path_of(index)
    return None


def generations(provenance: JsonDict) -> list[JsonDict]:
    """Return a provenance and those of all it started from, newest first, each checked; LicenceError."""
    check_generation(provenance, path_of(0))
    newest_first = [provenance]
    while (start := newest_first[-1].get("start_from")) is not None:
        if len(newest_first) == MAX_GENERATIONS:
            raise LicenceError(f"the provenance has more than {MAX_GENERATIONS} generations of start_from")
        check_generation(start, path_of(len(newest_first)))
        newest_first.append(start)
    return newest_first


def path_of(generation: int) -> str:
    """Return where a generation stands in the provenance, for messages: 0 is the provenance itself."""
    return ".".join(["start_from"] * generation) or "the provenance"


def checkpoint_provenance(checkpoint: Path) -> JsonDict | None:
    """Return the provenance that a checkpoint folder carries, None where it carries none.

    LicenceError for one that cannot be followed, or that is of other weights than those beside it.
    """
    path = checkpoint / PROVENANCE_FILE
    if not path.exists():
        return None
    provenance = read_provenance(path)
    if provenance.get("weights_sha256") != file_sha256(checkpoint / "weights.safetensors"):
        raise LicenceError(
            f"{path} is not of the weights beside it: copy the whole checkpoint again, or delete the file: "
            "what is known of the weights is then lost, and nothing will be permitted, whatever is stated of them"
        )
    return provenance


def read_provenance(path: Path) -> JsonDict:
    """Return the provenance in a file; LicenceError for a file that is none."""
    if not path.is_file():
        raise LicenceError(f"no provenance at {path}: write a JSON object with data and licence")
    try:
        provenance = json_object(path.read_bytes())
    except ValueError as error:
        raise LicenceError(f"{path} does not read as a provenance: {error}") from error
    try:
        generations(provenance)
    except LicenceError as error:
        raise LicenceError(f"{path}: {error}") from error
    return provenance


def write_provenance(checkpoint: Path, provenance: JsonDict) -> None:
    """Write the provenance of a checkpoint folder beside its weights, with their SHA-256."""
    content = provenance | {"weights_sha256": file_sha256(checkpoint / "weights.safetensors")}
    generations(content)
    write_json(checkpoint / PROVENANCE_FILE, content)


def provenance_of_start(checkpoint: Path) -> JsonDict:
    """Return what training from a checkpoint records as `start_from`; without a provenance its licence is unknown."""
    carried = checkpoint_provenance(checkpoint)
    if carried is not None:
        generations({"start_from": carried})  # one more than it has itself: refused before the training, not after
        return carried
    weights_sha256 = file_sha256(checkpoint / "weights.safetensors")
    return {"data": None, "licence": None, "weights_sha256": weights_sha256, "unknown": "it carried no provenance"}


def provenance_of_weights(towers: JsonDict) -> JsonDict:
    """Return what training from published weights records as `start_from`.

    `towers`: name of a tower -> where its weights come from, with the `licence` that is stated beside them, if any is.
    It permits nothing until the exporter says what these licences permit.
    """
    licences = {name: source["licence"] for name, source in towers.items()}
    differing = set(licences.values())
    licence = "; ".join(f"{name}: {licence}" for name, licence in licences.items())
    if None in differing:
        licence = None
    elif len(differing) == 1:
        (licence,) = differing
    provenance = {"data": {"kind": PUBLISHED, **towers}, "licence": licence, "start_from": None}
    generations(provenance)  # what could not be written down is refused before the training, not after
    return provenance


def withheld_embeddings(*, may_share: bool, stays_here: bool, way_out: str) -> Finding | None:
    """Return None where embeddings may be given out, otherwise the finding that says why they are not, and `way_out`.

    `stays_here`: whether it is known that what is given out stays on this machine.
    """
    return None if may_share or stays_here else finding("embedding_withheld", way_out=way_out)
