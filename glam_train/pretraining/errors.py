"""Why a run cannot be started or go on: RunError, and of those RunEnded and Stopped, with their exit codes."""


class RunError(ValueError):
    """A run folder that cannot be started in or resumed from as asked."""

    exit_code = 1


class RunEnded(RunError):
    """The end of a run to which all of its processes come at the same update; the first of them tells it."""


class Stopped(RunEnded):
    """The end of a run that a signal stopped, after it was saved."""

    exit_code = 130
