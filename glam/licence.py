"""What may be done with a model: the record of what it was trained on (provenance), and the one rule that reads it.

A provenance is a JSON object about one generation of weights. `start_from` holds that of the weights it started from,
null for random ones, and so on back to the first. Export, the reader of bundles and training all ask this module.
"""

import re
import unicodedata
from pathlib import Path
from typing import Any, NamedTuple

from glam.files import file_sha256, json_object, write_json
from glam.findings import Finding, finding

PROVENANCE_FILE = "provenance.json"
"""In a checkpoint folder, beside weights.safetensors."""
ACTIONS = ("serve", "share")
FIELDS = ("data", "synthetic", "licence", "permits", "start_from", "weights_sha256", "stated_by_exporter")
"""The fields of a provenance that the rule, or whoever judges its answer, reads; others are carried along."""
PHANTOMS = "phantoms"
"""`data.kind` of the synthetic breasts of this repository, the only data that need no licence."""
NO_LICENCE_NEEDED = "none needed: synthetic phantoms, no patient"
NO_NAMES = re.compile(
    r"\W*|n\W?a|(none|no|nil|null|unknown|unlicen[sc]ed|tb[ad]|todo)\b.*|not (stated|known|given|licen[sc]ed)\b.*"
)
"""What people write where they know of no licence."""
MAX_GENERATIONS = 64

_PLAIN_FIELDS = {re.sub("[^a-z0-9]", "", field): field for field in FIELDS} | {"license": "licence"}

JsonDict = dict[str, Any]


class LicenceError(ValueError):
    """A provenance that cannot be followed, or something that it does not permit."""


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
    `permits` permit everything; one that does not say what it started from, and any other, permits nothing.
    """
    permitted = [_permitted(generation) for generation in generations(provenance)]
    return Permission(*(all(action in actions for actions in permitted) for action in ACTIONS))


def forbidding(provenance: JsonDict, action: str) -> str | None:
    """Return the path of the first generation that does not permit an action, as in "start_from.start_from"."""
    for index, generation in enumerate(generations(provenance)):
        if action not in _permitted(generation):
            return path_of(index)
    return None


def generations(provenance: JsonDict) -> list[JsonDict]:
    """Return a provenance and those of all it started from, newest first, each checked; LicenceError."""
    _check(provenance, path_of(0))
    found = [provenance]
    while (start := found[-1].get("start_from")) is not None:
        if len(found) == MAX_GENERATIONS:
            raise LicenceError(f"the provenance has more than {MAX_GENERATIONS} generations of start_from")
        _check(start, path_of(len(found)))
        found.append(start)
    return found


def path_of(generation: int) -> str:
    """Return where a generation stands in the provenance, for messages: 0 is the provenance itself."""
    return ".".join(["start_from"] * generation) or "the provenance"


def names_licence(generation: JsonDict) -> bool:
    """Say whether a generation names a licence, beyond the words for having none."""
    licence = generation.get("licence")
    if not isinstance(licence, str):
        return False
    return licence == NO_LICENCE_NEEDED or not NO_NAMES.fullmatch(_plain(licence))


def _plain(text: str) -> str:
    """Return a text in small letters, without marks around it and without characters that are not seen."""
    seen = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")
    return re.sub(r"^\W+|\W+$", "", seen.strip().lower())


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
            "what is known of the weights is then lost, and nothing is permitted"
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


def withheld_embeddings(*, may_share: bool, stays_here: bool, way_out: str) -> Finding | None:
    """Return None where embeddings may be given out, otherwise the finding that says why they are not, and `way_out`.

    `stays_here`: whether it is known that what is given out stays on this machine.
    """
    return None if may_share or stays_here else finding("embedding_withheld", way_out=way_out)


def _permitted(generation: JsonDict) -> tuple[str, ...]:
    if "start_from" not in generation:
        return ()
    permits = generation.get("permits")
    if permits is not None:
        return tuple(permits)
    return ACTIONS if generation.get("synthetic", False) else ()


def _check(generation: Any, where: str) -> None:
    """LicenceError, naming the place, for what is no provenance, and for fields of no or of a hidden meaning."""
    if not isinstance(generation, dict):
        raise LicenceError(f"{where} is not a JSON object with data and licence")
    for key in generation:
        field = _PLAIN_FIELDS.get(re.sub("[^a-z0-9]", "", key.lower()))
        if field is not None and key != field:
            raise LicenceError(f"{where} has a field {key!r}: write {field!r}")
    for complaint in filter(None, (_synthetic_fault(generation), _licence_fault(generation))):
        raise LicenceError(f"{where}: {complaint}")


def _synthetic_fault(generation: JsonDict) -> str | None:
    synthetic, data = generation.get("synthetic", False), generation.get("data")
    if type(synthetic) is not bool:
        return f"synthetic is true or false, not {synthetic!r}"
    licence = generation.get("licence")
    if synthetic and licence not in (None, NO_LICENCE_NEEDED) and generation.get("permits") is None:
        return f"synthetic phantoms need no licence, and {licence!r} is one: say with permits what it permits"
    if synthetic and not (isinstance(data, dict) and data.get("kind") == PHANTOMS):
        return f'synthetic is said of data whose kind is not "{PHANTOMS}": leave it out, and name licence and permits'
    return None


def _licence_fault(generation: JsonDict) -> str | None:
    licence, permits = generation.get("licence"), generation.get("permits")
    if not isinstance(licence, str | None):
        return f"licence is a text, not {licence!r}"
    if permits is None:
        return None
    if not isinstance(permits, list) or any(action not in ACTIONS for action in permits):
        return f'permits is a list of "serve" and "share", not {permits!r}'
    if permits and not names_licence(generation):
        return "permits rests on a licence: name it"
    return None
