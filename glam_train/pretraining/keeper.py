"""When a run saves, and what it says of it."""

import math
import time
from collections.abc import Sequence
from pathlib import Path

from glam_train.pretraining.distributed import Ranks
from glam_train.pretraining.errors import RunEnded, RunError, Stopped
from glam_train.pretraining.run_folder import Run
from glam_train.pretraining.training_state import TrainingState, save_state

SAVE_EVERY_S = 900.0
"""Seconds between checkpoints where no number of updates is asked for."""


class Keeper:
    """Saves a run: at intervals, at the end, when time is over, and when a signal came."""

    def __init__(
        self,
        out: Path,
        run: Run,
        state: TrainingState,
        ranks: Ranks,
        *,
        save_every: int | None,
        stop_after_s: float | None,
    ) -> None:
        self._out, self._run, self._state, self._ranks = out, run, state, ranks
        self._save_every = save_every
        self._saved_at = time.monotonic()
        self._stop_at = time.monotonic() + (math.inf if stop_after_s is None else stop_after_s)

    def after(self, step: int, signals: Sequence[int]) -> bool:
        """Save where it is time to; whether the run stops here. Stopped when a signal stops it."""
        last = step + 1 == self._run.config.steps
        every, now = self._save_every, time.monotonic()
        due = now - self._saved_at > SAVE_EVERY_S if every is None else (step + 1) % every == 0
        stopped, late, due = self._ranks.agree([bool(signals), now > self._stop_at, due])
        if not (last or stopped or late or due):
            return False
        told = self.save(step + 1)
        if stopped and not last:
            raise Stopped(f"stopped by a signal after {step + 1} updates. {told}")
        return late

    def save(self, step: int) -> str:
        """Write a checkpoint of the state before update `step`, and say where it is; every process comes here.

        No process goes on before it is written: one that ends has torchrun end the others. RunError where it cannot
        be written.
        """
        failure = None
        try:
            told = self.save_alone(step)
        except RunError as error:
            failure, told = error, ""
        [failed] = self._ranks.agree([failure is not None])
        if failed:
            raise failure or RunEnded(f"checkpoint {step} cannot be written by the first process")
        self._saved_at = time.monotonic()
        return told

    def save_alone(self, step: int) -> str:
        """Write that checkpoint where this is the first process, and say where it is, without waiting for others."""
        if self._ranks.is_first:
            save_state(self._out, self._state, step=step, tokenizer=self._run.tokenizer)
        return f"Saved as {self._out / 'checkpoints' / f'step-{step:07d}'}: go on with --resume"
