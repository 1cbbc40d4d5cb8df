"""What a session asked for last: an exam that comes late is not shown in place of a newer one."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

Shown = TypeVar("Shown")


class Turns:
    """Counts the exams that a session asks for; Gradio answers several of its events side by side."""

    def __init__(self) -> None:
        self.latest = 0

    def shown(self, values: Iterable[Shown], *, instead: Shown) -> Iterator[Shown]:
        """Yield values until something newer is asked for; then `instead`, once.

        Gradio sends the last value of a generator a second time at its end: it must be one that changes nothing.
        """
        self.latest += 1
        turn = self.latest
        for value in values:
            if turn != self.latest:
                yield instead
                return
            yield value
