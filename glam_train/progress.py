"""How far a command is, on stderr: a bar on a terminal, a line at intervals elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress

LINE_EVERY_S = 30.0
ShowDone = Callable[..., None]
"""Called with what is done so far, and a note on it."""


@contextmanager
def progress_bar(label: str, *, total: int, done: int = 0) -> Iterator[ShowDone]:
    """Show progress while the block runs; give the function that is told what is done so far, and a note on it."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(label, total=total, done=done).show
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(label, total=total, completed=done)

        def show(completed: int, note: str = "") -> None:
            bar.update(task, completed=completed, description=f"{label} {note}".rstrip())

        yield show


class _Lines:
    """A line every half minute: what is done, the note, the rate, the time left."""

    def __init__(self, label: str, *, total: int, done: int) -> None:
        self._label, self._total, self._first = label, total, done
        self._start = self._said = time.monotonic()

    def show(self, done: int, note: str = "") -> None:
        """Say it, where the last line is long enough ago."""
        now = time.monotonic()
        if now - self._said < LINE_EVERY_S or done <= self._first:
            return
        self._said = now
        rate = (done - self._first) / (now - self._start)
        left = f"{(self._total - done) / rate / 60:.0f} min left"
        parts = [f"{self._label} {done} of {self._total}", note, f"{rate:.3g} a second", left]
        sys.stderr.write(", ".join(part for part in parts if part) + "\n")
