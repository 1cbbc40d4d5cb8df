"""What several commands share: the names of presets as choices, counts that are checked, a bar of progress."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from glam_train.presets import PRESETS

if TYPE_CHECKING:
    PresetName = str
else:
    PresetName = Literal[tuple(PRESETS)]
"""The presets in the table, as the choices of an option."""


def check_counts(**counts: int) -> None:
    """Raise ValueError for an option below 1 that counts something."""
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} is {count}: give 1 or more")


def with_bar(done: Iterator[int], *, total: int, label: str) -> None:
    """Run through the counts of what is done so far, with a progress bar on stderr."""
    from glam_train.progress import progress_bar

    with progress_bar(label, total=total) as show_done:
        for count in done:
            show_done(count)
