"""The parts of a form of uploads, looked at while they come."""

from python_multipart.multipart import MultipartParser, parse_options_header

MAX_PARTS = 100
"""More files than anybody means to send: Gradio holds each open until the last has come, up to a thousand."""


class FormError(ValueError):
    """A form that the page does not send; the message says nothing of what was sent."""


class Parts:
    """Looks at a form of files. Gradio keeps a text in it in memory, three times over and of any length."""

    def __init__(self, content_type: bytes) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary") if kind == b"multipart/form-data" else None
        self._num_parts = 0
        self._name, self._value = b"", b""
        self._has_file = False
        callbacks = {
            "on_part_begin": self._begin,
            "on_header_field": self._add_to_name,
            "on_header_value": self._add_to_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
        }
        self._parser = MultipartParser(boundary, callbacks) if boundary else None  # pyright: ignore[reportArgumentType]

    def look(self, chunk: bytes) -> None:
        """Go on with the next bytes; FormError for a part that is no file, or one too many, ValueError for no form."""
        if self._parser is not None:  # else Gradio refuses it
            self._parser.write(chunk)

    def _begin(self) -> None:
        self._num_parts += 1
        self._has_file = False
        if self._num_parts > MAX_PARTS:
            raise FormError(f"more than {MAX_PARTS} files at once: choose those of one exam")

    def _add_to_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._has_file = b"filename" in parse_options_header(self._value)[1]
        self._name, self._value = b"", b""

    def _end_headers(self) -> None:
        if not self._has_file:
            raise FormError("not a form of files")
