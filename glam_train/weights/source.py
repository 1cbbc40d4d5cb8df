"""The record of published weights that a tower starts from: file name, layout, hashes and licence."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glam.files import JsonDict, file_sha256

LICENCE_FILES = ("LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "LICENCE.md", "LICENCE.txt")
_CARD_LICENCE = re.compile(r"^licen[sc]e:\s*['\"]?([^'\"\n]+?)['\"]?\s*$", re.MULTILINE | re.IGNORECASE)


class WeightsError(ValueError):
    """Published weights that cannot be read, or that do not fit."""


@dataclass(frozen=True, kw_only=True)
class WeightsSource:
    """Where the weights of a tower come from. It stands in the run, in its checkpoints and in a bundle and its card."""

    name: str
    """Name of the file or folder, without the path to it."""
    layout: str
    """Whose names and shapes the file has."""
    sha256: dict[str, str]
    """Name of each file that was read -> its SHA-256."""
    licence: str | None
    """As the folder states it. None: it states none."""

    def as_json(self) -> JsonDict:
        """Return a dict of JSON types."""
        return {"name": self.name, "layout": self.layout, "sha256": self.sha256, "licence": self.licence}


def weights_source(path: Path, *, layout: str, files: Iterable[Path], metadata: dict[str, Any]) -> WeightsSource:
    """Return the record of what was read of `path`; `metadata`: what the file with the weights says of itself."""
    hashes = {file.name: file_sha256(file) for file in sorted(set(files))}
    return WeightsSource(name=path.resolve().name, layout=layout, sha256=hashes, licence=_licence(path, metadata))


def _licence(path: Path, metadata: dict[str, Any]) -> str | None:
    """Return the licence that a model card, a licence file or the file's own metadata states."""
    for key in ("license", "licence"):
        if isinstance(value := metadata.get(key), str) and value.strip():
            return value.strip()
    if not path.is_dir():  # what lies beside a lone file may be of another one
        return None
    card = path / "README.md"
    if card.is_file() and (found := _front_matter_licence(card.read_text("utf-8", errors="replace"))):
        return found
    for name in LICENCE_FILES:
        if (path / name).is_file():
            lines = (path / name).read_text("utf-8", errors="replace").splitlines()
            return next((line.strip() for line in lines if line.strip()), None)
    return None


def _front_matter_licence(card: str) -> str | None:
    """Return the licence in the head of a model card, between its lines of dashes."""
    parts = card.split("---", 2)
    found = _CARD_LICENCE.search(parts[1]) if len(parts) == 3 and not parts[0].strip() else None
    return found[1] if found else None
