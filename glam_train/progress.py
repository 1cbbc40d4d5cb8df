"""A progress bar on stderr."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress


@contextmanager
def progress_bar(label: str, *, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Draw a bar while the block runs, where stderr is a terminal; give the function that sets what is done so far."""
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total, completed=done)
        yield lambda completed: bar.update(task, completed=completed)
