"""Where the time of preparing a mammogram goes: the share of each stage, and the dearest functions within.

python -m bench.prepare_stages [--rounds 20]

The images are those of `bench.prepare`. Every function of preparation is timed around its call: a share is of wall
time, and of the fastest round, for noise only adds.
"""

import argparse
import functools
import importlib
import inspect
import pkgutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from unittest.mock import patch

import cv2

import glam.anatomy
from bench.prepare import CONFIG, large
from bench.report import print_summary
from glam.phantom import draw_pair, view_of
from glam.prepare import prepare

STAGES = {
    "shrunk to 512 pixels a side": "small",
    "borders": "_widest_border",
    "black boxes": "without_boxes",
    "plates": "plate_mask",
    "mask of the breast": "breast_mask",
    "line of the muscle": "pectoral_line",
    "nipple": "find_nipple",
    "mask of the muscle": "muscle_mask",
    "box of the tissue": "_tissue_box",
    "square": "_resample",
    "contrast": "spread_contrast",
}
"""The functions that do the work of each stage."""


class Timings:
    """Seconds in each function, what it calls included."""

    def __init__(self) -> None:
        """Start at nothing."""
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.calls: defaultdict[str, int] = defaultdict(int)

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, its time taken down."""

        @functools.wraps(function)
        def timed(*args: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                self.seconds[function.__name__] += time.perf_counter() - start
                self.calls[function.__name__] += 1

        return timed


def functions_of_preparation() -> Iterator[Callable[..., Any]]:
    """Yield the functions of the rooms that preparation goes through; those that yield are left out."""
    rooms = [f"glam.anatomy.{found.name}" for found in pkgutil.iter_modules(glam.anatomy.__path__)]
    for module in map(importlib.import_module, [*rooms, "glam.prepare", "glam.contrast"]):
        for function in vars(module).values():
            is_own = inspect.isfunction(function) and function.__module__ == module.__name__
            if is_own and not inspect.isgeneratorfunction(function) and function is not prepare:
                yield function


@contextmanager
def timed(functions: list[Callable[..., Any]]) -> Iterator[Timings]:
    """Time the functions wherever a module of ours calls them."""
    timings = Timings()
    around = {function: timings.around(function) for function in functions}
    patches = [
        patch.object(module, name, around[value])
        for module in list(sys.modules.values())
        if isinstance(module, ModuleType) and module.__name__.startswith("glam")
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value in around
    ]
    for one in patches:
        one.start()
    try:
        yield timings
    finally:
        for one in patches:
            one.stop()


def fastest(call: Callable[[], object], *, rounds: int) -> tuple[float, Timings]:
    """Return the seconds of the fastest round, and its timings."""
    functions = list(functions_of_preparation())
    best: tuple[float, Timings] | None = None
    for _ in range(rounds + 1):
        with timed(functions) as timings:
            start = time.perf_counter()
            call()
            took = time.perf_counter() - start
        if best is None or took < best[0]:
            best = took, timings
    assert best is not None
    return best


def main() -> None:
    """Measure, and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    cv2.setNumThreads(1)
    pair = draw_pair(1)
    figures: dict[str, Any] = {}
    for name, projection in (("CC", pair.cc), ("MLO", pair.mlo)):
        view = view_of(large(projection), CONFIG)
        took, timings = fastest(functools.partial(prepare, view, CONFIG), rounds=rounds)
        shares = {stage: timings.seconds[function] / took for stage, function in STAGES.items()}
        shares["the rest"] = 1 - sum(shares.values())
        figures[f"ms, {name}"] = round(1000 * took, 1)
        figures[f"share, {name}"] = {stage: round(share, 3) for stage, share in shares.items()}
    print_summary("prepare_stages", figures | {"rounds": rounds}, {})


if __name__ == "__main__":
    main()
