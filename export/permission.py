"""What a bundle's provenance permits: nothing, unless the licence of the data is stated to permit it."""

import json
from pathlib import Path
from typing import Any, NamedTuple


class Permission(NamedTuple):
    """What may be done with a bundle."""

    may_serve: bool
    may_share: bool


def read_provenance(path: Path | None) -> dict[str, Any]:
    """Return what the model saw, from a JSON object in a file; no file is an empty object."""
    if path is None:
        return {}
    if not path.is_file():
        raise ValueError(f"no provenance at {path}: write a JSON object with data and licence")
    try:
        provenance = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(provenance, dict):
        raise ValueError(f"{path} is not a JSON object with data and licence")
    return provenance


def permission(provenance: dict[str, Any], *, may_serve: bool, may_share: bool) -> Permission:
    """Return what the provenance permits, and what the exporter says that a licence named there does.

    Synthetic data (`"synthetic": true`) permits both; `"permits": ["serve", "share"]` says what a licence does.
    """
    if (may_serve or may_share) and not provenance.get("licence"):
        raise ValueError("--may-serve and --may-share rest on a licence: name the data's in the provenance file")
    synthetic, permits = provenance.get("synthetic") is True, provenance.get("permits", ())
    return Permission(
        may_serve=may_serve or synthetic or "serve" in permits,
        may_share=may_share or synthetic or "share" in permits,
    )
