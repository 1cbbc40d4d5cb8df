"""The folder of a run: config.json, metrics.jsonl, TensorBoard events, and checkpoints that are whole or absent."""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glam.files import file_sha256, json_object, write_json
from glam.licence import NO_LICENCE_NEEDED, PHANTOMS, checkpoint_provenance, provenance_of_start, write_provenance
from glam.origin import commit
from glam.words.tokens import Tokenizer
from glam_train.config import PretrainConfig, pretrain_config_from_json
from glam_train.data.places import told_places

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from glam.model.glam import Glam

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
    start_provenance: dict[str, Any] | None
    """What the weights of `start_from` were trained on (`glam.licence`)."""
    commit: str


def start_run(
    folder: Path, config: PretrainConfig, *, data: dict[str, Any], tokenizer: Tokenizer, start_from: Path | None = None
) -> None:
    """Write tokenizer.json and config.json into a new run folder. RunError if a run is already there.

    `data` says what is trained on; a resumed run must find the same. `start_from`: the checkpoint of the first weights,
    whose provenance, or that it has none, is written down here and in every checkpoint of the run.
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
        "start_provenance": None if start_from is None else provenance_of_start(start_from),
        "commit": commit(),
    }
    write_json(path, content)


def has_run(folder: Path) -> bool:
    """Whether a run was started in the folder."""
    return (folder / "config.json").exists()


def provenance(folder: Path, *, licence: str | None) -> dict[str, Any]:
    """What the model of a run saw: that of its newest checkpoint, with the licence of the data."""
    run, found = read_run(folder), checkpoints(folder)
    if not found:
        raise RunError(f"the run at {folder} has no checkpoint yet")
    content = _provenance(run, updates=updates_of(found[-1]))
    if not content["synthetic"] and not licence:
        raise RunError("name the licence of the data with --licence: the bundle's permissions rest on it")
    if content["synthetic"] and licence:
        raise RunError(
            "phantoms need no licence: name that of the weights they started from under start_from in the file"
        )
    weights_sha256 = file_sha256(found[-1] / "weights.safetensors")
    return content | {"licence": licence or content["licence"], "weights_sha256": weights_sha256}


def _provenance(run: Run, *, updates: int) -> dict[str, Any]:
    """What the weights of a run saw: data, settings, what they started from, the commit the run was started by."""
    source = run.data["source"]
    synthetic = source.get("kind") == PHANTOMS
    return {
        "data": source | {name: value for name, value in run.data.items() if name != "source"},
        "synthetic": synthetic,
        "licence": NO_LICENCE_NEEDED if synthetic else None,
        "start_from": run.start_provenance,
        "objective": run.config.objective,
        "correspondence": told_places(run.config, run.data.get("places", {})),
        "updates": updates,
        "pairs_per_update": run.config.pairs_per_update,
        "seed": run.config.seed,
        "commit": run.commit,
    }


def read_run(folder: Path) -> Run:
    """The configuration of a run, what it trains on, and where its first weights come from.

    RunError or LicenceError when the newest checkpoint, or before the first the weights to start from, are not what the
    run says.
    """
    if not has_run(folder):
        raise RunError(f"no run at {folder}: start one with glam-train pretrain")
    run, found = _read_config(folder), checkpoints(folder)
    if found:
        _check_checkpoint(run, found[-1])
    elif run.start_from is not None and provenance_of_start(run.start_from) != run.start_provenance:
        raise RunError(f"{run.start_from} has changed since the run at {folder} was started: start another run")
    return run


def _read_config(folder: Path) -> Run:
    path = folder / "config.json"
    try:
        content = json_object(path.read_bytes())
    except ValueError as error:
        raise RunError(f"{path} does not read ({error}): start another run") from error
    if "start_provenance" not in content:
        raise RunError(f"{path} is of an older version, which wrote no provenance: start another run")
    start_from = content["start_from"]
    return Run(
        config=pretrain_config_from_json(content["config"]),
        data=content["data"],
        tokenizer=folder / "tokenizer.json",
        start_from=None if start_from is None else Path(start_from),
        start_provenance=content["start_provenance"],
        commit=content["commit"],
    )


def _check_checkpoint(run: Run, checkpoint: Path) -> None:
    """Refuse to go on from weights whose provenance is not that of the run."""
    carried = checkpoint_provenance(checkpoint) or {}
    said = _provenance(run, updates=updates_of(checkpoint))
    if differing := [name for name in ("data", "synthetic", "start_from") if carried.get(name, ...) != said[name]]:
        message = f"{checkpoint} has another {differing[0]} in its provenance than the run's config.json says"
        raise RunError(f"{message}: restore both, or start another run")


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
    """Write checkpoint `step-…` (weights, tokenizer, provenance, optimizer) and delete all but the newest `keep`.

    It is built under another name and renamed, so that a kill leaves the last whole one.
    """
    import torch

    from glam.model.checkpoint import save_checkpoint

    final = folder / "checkpoints" / f"step-{step:07d}"
    building = final.with_name(f".{final.name}.{os.getpid()}")
    shutil.rmtree(building, ignore_errors=True)
    save_checkpoint(model, building, tokenizer)
    write_provenance(building, _provenance(_read_config(folder), updates=step))
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
