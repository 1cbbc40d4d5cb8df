"""Elements that stand in a data set more than once, with different values; pydicom keeps the last one in silence."""

from glam.reading.source import Content

UNDEFINED = 0xFFFFFFFF
"""The length of an element that ends with a delimiter."""

HEADER_BYTES = 8
"""What lies at least between the values of two elements: tag and length of the second."""


class Repeats:
    """The tags that stand twice in the bytes of a data set, with two values; PS3.5 7.1 has each once."""

    def __init__(self, data: Content) -> None:
        self.tags: set[int] = set()
        self._data = memoryview(data)
        self._seen: dict[int, tuple[int, int]] = {}

    def note(self, tag: int, start: int, length: int) -> None:
        """Note an element: where its value begins, and its length as declared.

        Values that end with a delimiter are not compared: two of them count as different.
        """
        first = self._seen.setdefault(int(tag), (start, length))
        if start - first[0] < HEADER_BYTES:  # pydicom looks at the first element once more, to see whether it has a VR
            self._seen[int(tag)] = (start, length)
        elif UNDEFINED in (length, first[1]) or self._value(*first) != self._value(start, length):
            self.tags.add(int(tag))

    def _value(self, start: int, length: int) -> bytes:
        return bytes(self._data[start : start + length])
