"""The shared package: everything between a DICOM file and an answer.

Importing it imports nothing. `glam.load` and `glam.read_view` are looked up when they are first named.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glam.loading import load
    from glam.reading.read import read_view

__all__ = ["load", "read_view"]

_HOMES = {"load": "glam.loading", "read_view": "glam.reading.read"}


def __getattr__(name: str) -> Any:
    """Return a function of the package from the module that defines it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
