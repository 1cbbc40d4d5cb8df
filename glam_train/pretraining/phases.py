"""Settings that may change in a run that goes on: each change begins a phase, which config.json and provenance tell."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glam.files import json_object, write_json
from glam.origin import commit
from glam.settings import changed_leaves
from glam_train.config import changed_config
from glam_train.pretraining.errors import RunError
from glam_train.pretraining.lock import locked
from glam_train.pretraining.run_folder import checkpoints, read_run, updates_of

CHANGEABLE = (
    "learning_rate",
    "min_learning_rate",
    "warmup_steps",
    "steps",
    "clip_norm",
    "precision",
    "local_weight",
    "local_start_step",
)
"""Settings that neither the batches of a run depend on, nor the shapes of its weights, nor what it was told."""
OF_DATA = ("model.text.vocab_size", "model.text.pad_id")
"""Settings that a run takes from its tokenizer, whatever its file of settings says."""


def go_on_with(out: Path, options: Mapping[str, Any]) -> None:
    """Begin a phase of the run in `out` where the options change a setting that may change; else leave it as it is.

    RunError: a setting that may not, by its name and both values, or fewer updates than were made.
    """
    run, saved = read_run(out), checkpoints(out)
    config = changed_config(run.config, options)
    changes = changed_leaves(run.config.as_json(), config.as_json())
    for name, (own, wanted) in changes.items():
        if name not in (*CHANGEABLE, *OF_DATA):
            raise RunError(f"the run at {out} has {name} {own}, not {wanted}: a resumed run keeps its own")
    changes = {name: {"was": own, "is": wanted} for name, (own, wanted) in changes.items() if name not in OF_DATA}
    if not changes:
        return
    from_step = updates_of(saved[-1]) if saved else 0
    if config.steps < from_step:
        raise RunError(f"the run at {out} has made {from_step} updates: give --steps of {from_step} or more")
    phase = {"from_step": from_step, "changes": changes, "commit": commit()}
    with locked(out):
        content = json_object((out / "config.json").read_bytes())
        for name, change in changes.items():
            content["config"][name] = change["is"]
        content["phases"] = [*content.get("phases", []), phase]
        write_json(out / "config.json", content)
    told = ", ".join(f"{name} {change['is']} (was {change['was']})" for name, change in changes.items())
    sys.stderr.write(f"from update {from_step} on: {told}\n")
