"""What can be wrong with the place that images come from, beside the images themselves."""


class NotGivenError(Exception):
    """An image that its source does not give, and which is at fault itself; `code` is stable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class SourceGoneError(RuntimeError):
    """What images come from is gone: no other image would come either, and the run ends. The same command goes on."""
