"""What can be wrong with the place that images come from, beside the images themselves."""

TRIED_AGAIN = frozenset({"pacs_failed", "pacs_cut", "pacs_slow", "storage_failed"})
"""Codes of images that their source failed to give, which is no word about them: the next run asks for them again."""


class NotGivenError(Exception):
    """An image that its source does not give, and which is at fault itself; `code` is stable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class SourceGoneError(RuntimeError):
    """What images come from is gone: no other image would come either, and the run ends. The same command goes on."""
