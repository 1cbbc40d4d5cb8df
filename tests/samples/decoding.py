"""Items that crash, hang and raise, by what their paths say.

Apart from the cohorts, because every process that decodes imports it: no pandas, no Arrow.
"""

import os
import signal
import time
from pathlib import Path

import numpy as np

from glam.store.schema import LeftOut
from glam_serve.cohort.items import ImageRow, Item, PreparedItem, lost_item

HELD: list[np.ndarray] = []
"""What a process that leaks has not given back."""


def item_of(name: str, *, path: str = "") -> Item:
    """An item of one image."""
    image = ImageRow(f"i-{name}", path or name, "L", "CC", None, "")
    return Item((name, "L"), f"p-{name}", (image,))


def prepared_by_path(item: Item) -> PreparedItem:
    """Do what the path of the item's first image says, and return the item's name as left out."""
    do(item.images[0].path)
    return PreparedItem(exam=None, used={}, left_out=(LeftOut(item.key[0], str(os.getpid())),), problems=())


def do(path: str) -> None:
    what, _, where = path.partition(":")
    if what == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif what == "segfault-once" and not Path(where).exists():
        Path(where).touch()
        os.kill(os.getpid(), signal.SIGSEGV)
    elif what == "hang":
        time.sleep(600)
    elif what == "slow":
        time.sleep(float(where))
    elif what == "grow":
        HELD.append(np.ones(int(where) << 17))  # 8 bytes a number: so many MiB
    elif what == "raise":
        raise TypeError("".join(reversed("TERCES")))


class EndsAtStart:
    """A function that ends the process which unpickles it."""

    def __reduce__(self) -> tuple:
        return os._exit, (3,)

    def __call__(self, item: Item) -> PreparedItem:
        return lost_item([])
