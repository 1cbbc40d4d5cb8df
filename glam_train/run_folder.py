"""The folder of a run: config.json, metrics.jsonl, TensorBoard events, and checkpoints that are whole or absent."""

import fcntl
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glam.files import replacing
from glam.tokens import Tokenizer

from .places import told_places
from .presets import PretrainConfig, pretrain_config_from_json

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from glam.model import Glam

_STEP = re.compile(r"step-(\d{7})")


class RunError(ValueError):
    """A run folder that cannot be started in or resumed from as asked."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run folder says of its run."""

    config: PretrainConfig
    data: dict[str, Any]
    tokenizer: Path
    start_from: Path | None


def git_commit() -> str:
    """The commit of the checkout this code runs from; "unknown" outside one."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def start_run(
    folder: Path, config: PretrainConfig, *, data: dict[str, Any], tokenizer: Tokenizer, start_from: Path | None = None
) -> None:
    """Write tokenizer.json and config.json into a new run folder. RunError if a run is already there.

    `data` says what is trained on; a resumed run must find the same. `start_from`: the checkpoint of the first weights.
    """
    path = folder / "config.json"
    if has_run(folder):
        raise RunError(f"{folder} holds a run: continue it with --resume or give another --out")
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(folder / "tokenizer.json")
    content = {
        "config": asdict(config),
        "data": data,
        "start_from": None if start_from is None else str(start_from.resolve()),
        "commit": git_commit(),
    }
    with replacing(path) as part:
        part.write_text(json.dumps(content, indent=1) + "\n")


def has_run(folder: Path) -> bool:
    """Whether a run was started in the folder."""
    return (folder / "config.json").exists()


def provenance(folder: Path, *, licence: str | None) -> dict[str, Any]:
    """What the model of a run saw: data and licence, settings, the updates made, the commit it was started from."""
    run, found = read_run(folder), checkpoints(folder)
    if not found:
        raise RunError(f"the run at {folder} has no checkpoint yet")
    source = run.data["source"]
    synthetic = source.get("kind") == "phantoms"
    if not synthetic and not licence:
        raise RunError("name the licence of the data with --licence: the bundle's permissions rest on it")
    return {
        "data": source | {name: value for name, value in run.data.items() if name != "source"},
        "synthetic": synthetic,
        "licence": licence or "none needed: synthetic phantoms, no patient",
        "objective": run.config.objective,
        "correspondence": told_places(run.config, run.data.get("places", {})),
        "updates": updates_of(found[-1]),
        "pairs_per_update": run.config.pairs_per_update,
        "seed": run.config.seed,
        "commit": json.loads((folder / "config.json").read_text())["commit"],
    }


def read_run(folder: Path) -> Run:
    """The configuration of a run, what it trains on, and where its first weights come from."""
    path = folder / "config.json"
    if not has_run(folder):
        raise RunError(f"no run at {folder}: start one with glam-train pretrain")
    content = json.loads(path.read_text())
    start_from = content["start_from"]
    return Run(
        config=pretrain_config_from_json(content["config"]),
        data=content["data"],
        tokenizer=folder / "tokenizer.json",
        start_from=None if start_from is None else Path(start_from),
    )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a second process out of a run; RunError if one is there. What a killed one was building is removed."""
    with (folder / "config.json").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"another process trains the run at {folder}") from None
        for building in folder.glob("checkpoints/.step-*"):
            shutil.rmtree(building, ignore_errors=True)
        yield


def checkpoints(folder: Path) -> list[Path]:
    """The finished checkpoints of a run, oldest first."""
    found = [path for path in folder.glob("checkpoints/step-*") if _STEP.fullmatch(path.name)]
    return sorted(found)


def save_state(
    folder: Path, model: "Glam", optimizer: "Optimizer", *, step: int, tokenizer: Path, keep: int = 2
) -> Path:
    """Write checkpoint `step-…` (weights, tokenizer, optimizer) and delete all but the newest `keep`.

    It is built under another name and renamed, so that a kill leaves the last whole one.
    """
    import torch

    from glam.model import save_checkpoint

    final = folder / "checkpoints" / f"step-{step:07d}"
    building = final.with_name(f".{final.name}.{os.getpid()}")
    shutil.rmtree(building, ignore_errors=True)
    save_checkpoint(model, building, tokenizer)
    state = building / "state"
    state.mkdir()
    torch.save(optimizer.state_dict(), state / "optimizer.pt")
    (state / "meta.json").write_text(json.dumps({"step": step}) + "\n")
    shutil.rmtree(final, ignore_errors=True)
    building.replace(final)
    for old in checkpoints(folder)[:-keep]:
        shutil.rmtree(old)
    return final


def load_state(checkpoint: Path, optimizer: "Optimizer") -> int:
    """Put the optimizer back where the checkpoint left it, and return the updates done."""
    import torch

    optimizer.load_state_dict(torch.load(checkpoint / "state" / "optimizer.pt", weights_only=True))
    return updates_of(checkpoint)


def updates_of(checkpoint: Path) -> int:
    """The optimizer updates that lie behind a checkpoint."""
    return json.loads((checkpoint / "state" / "meta.json").read_text())["step"]


class MetricsLog:
    """metrics.jsonl and TensorBoard events; opening it at a step drops what an interrupted run wrote beyond."""

    def __init__(self, folder: Path, *, start_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        path = folder / "metrics.jsonl"
        kept = []
        if path.exists():
            kept = [line for line in path.read_text().splitlines() if _whole_before(line, start_step)]
        path.write_text("".join(line + "\n" for line in kept))
        self._file = path.open("a", buffering=1)
        self._events = SummaryWriter(str(folder / "tensorboard"), purge_step=start_step)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Append one line and one event a value."""
        self._file.write(json.dumps({"step": step} | values, allow_nan=False) + "\n")
        for name, value in values.items():
            self._events.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush both."""
        self._file.close()
        self._events.close()


def _whole_before(line: str, step: int) -> bool:
    try:
        return json.loads(line)["step"] < step
    except ValueError:  # the line that a kill cut short
        return False
