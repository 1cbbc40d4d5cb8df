"""How a function is put to several items: one after the other by the builtin map, or at the same time in threads."""

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Mapper(Protocol):
    """The builtin `map`, or another one like the `map` of a ThreadPoolExecutor.

    It yields the results in the order of the items, or raises the first error in that order.
    """

    def __call__(self, call: Callable[[Item], Result], items: Iterable[Item], /) -> Iterable[Result]:
        """Yield `call(item)` of every item."""
        ...
