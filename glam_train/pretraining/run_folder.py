"""The folder of a run: its config.json, and checkpoints that are whole or absent."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glam.files import file_sha256, json_object, write_json
from glam.licence import NO_LICENCE_NEEDED, PHANTOMS, checkpoint_provenance, provenance_of_start
from glam.origin import commit
from glam.words.tokens import Tokenizer
from glam_train.config import PretrainConfig, pretrain_config_from_json
from glam_train.data.cache import PairCache, describe_cache
from glam_train.methods.known_places import told_places
from glam_train.pretraining.begun import RANDOM, Begun
from glam_train.pretraining.errors import RunError
from glam_train.pretraining.lock import locked
from glam_train.pretraining.prepared import prepare_command, told_difference
from glam_train.weights.towers import tower_from_json

_STEP = re.compile(r"step-(\d{7})")


@dataclass(frozen=True, kw_only=True)
class Run:
    """The content of a run's config.json."""

    config: PretrainConfig
    preset: str | None
    """The preset that the settings came from. None: no preset was named."""
    data: dict[str, Any]
    tokenizer: Path
    start: Begun
    """The first weights."""
    start_provenance: dict[str, Any] | None
    """What the first weights were trained on, or where published ones come from (`glam.licence`)."""
    commit: str
    phases: Sequence[dict[str, Any]] = ()
    """Changes of settings while it went on: from_step, and each setting as it was and is."""


def start_run(
    folder: Path,
    config: PretrainConfig,
    *,
    data: dict[str, Any],
    tokenizer: Tokenizer,
    start: Begun = RANDOM,
    preset: str | None = None,
) -> None:
    """Write tokenizer.json and config.json into a new run folder. RunError if a run is already there.

    `data`: of `describe_cache`; a resumed run must find the same. `start`: the first weights, whose provenance, or
    that they have none, is written down here and in every checkpoint of the run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "config": config.as_json(),
        "preset": preset,
        "data": data,
        "start_from": None if start.checkpoint is None else str(start.checkpoint.resolve()),
        "start_has_heads": start.has_heads,
        "weights": {name: tower.as_json() for name, tower in start.towers.items()},
        "start_provenance": start.provenance(),
        "commit": commit(),
    }
    with locked(folder):
        check_new(folder)
        tokenizer.save(folder / "tokenizer.json")
        write_json(folder / "config.json", content)


def has_run(folder: Path) -> bool:
    """Whether a run was started in the folder."""
    return (folder / "config.json").exists()


def check_new(folder: Path) -> None:
    """Raise RunError where a run was started in the folder."""
    if has_run(folder):
        raise RunError(f"{folder} holds a run: continue it with --resume or give another --out")


def provenance(folder: Path, *, licence: str | None) -> dict[str, Any]:
    """Return the provenance of a run's newest checkpoint, with the licence of the data."""
    run, saved = read_run(folder), checkpoints(folder)
    if not saved:
        raise RunError(f"the run at {folder} has no checkpoint yet: continue it with --resume")
    content = _provenance(run, updates=updates_of(saved[-1]))
    if not content["synthetic"] and not licence:
        raise RunError("name the licence of the data with --licence: the bundle's permissions rest on it")
    if content["synthetic"] and licence:
        raise RunError(
            "phantoms need no licence: name that of the weights they started from under start_from in the file"
        )
    weights_sha256 = file_sha256(saved[-1] / "weights.safetensors")
    return content | {"licence": licence or content["licence"], "weights_sha256": weights_sha256}


def run_provenance(folder: Path, *, updates: int) -> dict[str, Any]:
    """Return the provenance that a checkpoint of the run bears after so many updates."""
    return _provenance(_read_config(folder), updates=updates)


def _provenance(run: Run, *, updates: int) -> dict[str, Any]:
    """Return the provenance of a run's weights: data, settings, their start, and the commit that started the run."""
    source = run.data["source"]
    synthetic = source.get("kind") == PHANTOMS
    return {
        "data": source | {name: value for name, value in run.data.items() if name != "source"},
        "synthetic": synthetic,
        "licence": NO_LICENCE_NEEDED if synthetic else None,
        "start_from": run.start_provenance,
        "method": _told_method(run.config),
        "report_style": run.config.text.style,
        "correspondence": told_places(run.config, run.data.get("places", {})),
        "updates": updates,
        "pairs_per_update": run.config.pairs_per_update,
        "seed": run.config.seed,
        "commit": run.commit,
    } | ({"phases": list(run.phases)} if run.phases else {})


def _told_method(config: PretrainConfig) -> dict[str, Any]:
    """Return the method's name and settings, and which parts of the model it left as they started, if any."""
    method, left = config.as_json()["method"], list(config.method.not_trained)
    return method | {"not_trained": left} if left else method


def read_run(folder: Path) -> Run:
    """Return a run's settings, data and start.

    RunError or LicenceError when the provenance of the newest checkpoint, or before the first checkpoint that of the
    weights to start from, is not the one in config.json.
    """
    if not has_run(folder):
        raise RunError(f"no run at {folder}: start one with glam-train pretrain")
    run, saved = _read_config(folder), checkpoints(folder)
    if saved:
        _check_checkpoint(run, saved[-1])
    elif run.start.checkpoint is not None and provenance_of_start(run.start.checkpoint) != run.start_provenance:
        raise RunError(f"{run.start.checkpoint} has changed since the run at {folder} was started: start another run")
    return run


def _read_config(folder: Path) -> Run:
    path = folder / "config.json"
    try:
        content = json_object(path.read_bytes())
    except ValueError as error:
        raise RunError(f"{path} does not read ({error}): start another run") from error
    if "start_provenance" not in content:
        raise RunError(f"{path} is of an older version, which wrote no provenance: start another run")
    if missing := [name for name in ("config", "data", "start_from", "commit") if name not in content]:
        raise RunError(f"{path} has no {', '.join(missing)}: restore it, or start another run")
    try:
        config = pretrain_config_from_json(content["config"])
        towers = {name: tower_from_json(entry) for name, entry in content.get("weights", {}).items()}
    except (TypeError, KeyError, ValueError) as error:  # keys of another version, or edited values
        raise RunError(f"{path} holds settings that this version cannot read ({error}): start another run") from error
    start_from = content["start_from"]
    return Run(
        config=config,
        preset=content.get("preset"),
        data=content["data"],
        tokenizer=folder / "tokenizer.json",
        start=Begun(
            checkpoint=None if start_from is None else Path(start_from),
            has_heads=bool(content.get("start_has_heads")),
            towers=towers,
        ),
        start_provenance=content["start_provenance"],
        commit=content["commit"],
        phases=tuple(content.get("phases", ())),
    )


def _check_checkpoint(run: Run, checkpoint: Path) -> None:
    """Refuse to go on from weights whose provenance is not that of the run."""
    carried = checkpoint_provenance(checkpoint) or {}
    expected = _provenance(run, updates=updates_of(checkpoint))
    if differing := [name for name in ("data", "synthetic", "start_from") if carried.get(name, ...) != expected[name]]:
        message = f"{checkpoint} has another {differing[0]} in its provenance than the run's config.json says"
        raise RunError(f"{message}: restore both, or start another run")


def check_fit(config: PretrainConfig, cache: PairCache, *, preset_name: str | None = None) -> None:
    """Refuse a cache prepared for another frame than the model's, or with fewer pairs than an update takes.

    `preset_name`: of the run, for the command that prepares as the model takes its images.
    """
    frame = config.model.frame
    if cache.frame != frame:
        command = prepare_command(frame, source=cache.source, preset_name=preset_name)
        raise RunError(f"{told_difference(cache.frame, frame)}: prepare another one with {command}")
    if len(cache) < config.pairs_per_update:
        taken = f"{config.pairs_per_update} (batch_size {config.batch_size} x accumulate {config.accumulate})"
        largest = len(cache) // config.accumulate
        smaller = f"give --batch-size {largest} or less, or " if largest * config.accumulate >= 2 else ""
        raise RunError(
            f"the cache holds {len(cache)} pairs, an update takes {taken}: {smaller}prepare a cache of more pairs"
        )


def check_cache(run: Run, cache: PairCache) -> None:
    """Refuse a cache that does not fit the run, or holds other pairs than it was started with."""
    check_fit(run.config, cache, preset_name=run.preset)
    about = describe_cache(cache)
    if {name: about.get(name) for name in run.data} != run.data:  # older runs do not tell their cohort
        pairs = run.data["pairs"]
        raise RunError(
            f"the run was started on {pairs} pairs; this cache holds other ones: give its own --cache or another --out"
        )


def checkpoints(folder: Path) -> list[Path]:
    """Return the finished checkpoints of a run, oldest first."""
    return sorted(path for path in folder.glob("checkpoints/step-*") if _STEP.fullmatch(path.name))


def updates_of(checkpoint: Path) -> int:
    """Return the number of updates that made a checkpoint."""
    path = checkpoint / "state" / "meta.json"
    try:
        return int(json_object(path.read_bytes())["step"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged: delete {checkpoint} and resume from the checkpoint before it") from error
