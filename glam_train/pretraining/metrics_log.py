"""The metrics of a run, in metrics.jsonl, as TensorBoard events, and for a tracker where one is asked for."""

import json
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from glam_train.pretraining.tracker import Tracker


class MetricsLog:
    """metrics.jsonl and TensorBoard events; opening it at a step drops what an interrupted run wrote beyond.

    `tracker`: takes the values too, and is closed with the rest.
    """

    def __init__(self, folder: Path, *, start_step: int, tracker: Tracker | None = None) -> None:
        path = folder / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        kept = [line for line in lines if _whole_before(line, start_step)]
        path.write_text("".join(line + "\n" for line in kept))
        self._file = path.open("a", buffering=1)
        self._events = SummaryWriter(str(folder / "tensorboard"), purge_step=start_step)
        self._tracker = tracker

    def write(self, step: int, values: dict[str, float]) -> None:
        """Append one line and one event a value."""
        self._file.write(json.dumps({"step": step} | values, allow_nan=False) + "\n")
        for name, value in values.items():
            self._events.add_scalar(name, value, step)
        if self._tracker is not None:
            self._tracker.write(step, values)

    def close(self) -> None:
        """Flush them."""
        self._file.close()
        self._events.close()
        if self._tracker is not None:
            self._tracker.close()


def _whole_before(line: str, step: int) -> bool:
    try:
        return json.loads(line)["step"] < step
    except ValueError:  # the line that a kill cut short
        return False
