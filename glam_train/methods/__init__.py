"""Methods of pretraining, one module each, and the one table of their names.

The table is read without torch: `glam-train --help` and a configuration need its names alone. The module of a method is
imported when its objective or one of its presets is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from glam_train.config import PretrainConfig
    from glam_train.methods.vectors import Objective


class Method(NamedTuple):
    """A module of this folder and the names by which its parts are chosen.

    The objective `glam_paper` is the module's function `glam_paper_objective`, the preset `glam-paper` its function
    `glam_paper_preset`.
    """

    module: str
    objectives: tuple[str, ...]
    presets: tuple[str, ...]


METHODS = (Method("glam", ("glam", "glam_paper", "glam_official"), ("tiny", "glam", "glam-paper", "glam-official")),)
"""A line a method; names are unique in the table."""
OBJECTIVES = tuple(name for method in METHODS for name in method.objectives)
PRESETS = tuple(name for method in METHODS for name in method.presets)


def preset(name: str) -> "PretrainConfig":
    """Return the published settings of that name; ValueError for an unknown one."""
    check_name("preset", name, PRESETS)
    module = next(method.module for method in METHODS if name in method.presets)
    return _part(module, f"{name.replace('-', '_')}_preset")()


def objective(name: str) -> "Objective":
    """Return the objective of that name; ValueError for an unknown one."""
    check_name("objective", name, OBJECTIVES)
    module = next(method.module for method in METHODS if name in method.objectives)
    return _part(module, f"{name}_objective")


def check_name(kind: str, name: str, known: tuple[str, ...]) -> None:
    """Raise ValueError with the known names when `name` is none of them; `kind` says of what."""
    if name not in known:
        raise ValueError(f"unknown {kind} {name!r}: expected one of {', '.join(known)}")


def _part(module: str, function: str) -> Any:
    return getattr(import_module(f"{__name__}.{module}"), function)
