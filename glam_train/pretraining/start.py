"""The settings and the tokenizer of a new run, from a preset, a checkpoint and the user's options."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from glam.config import FrameConfig, ModelConfig, VoiPolicy, model_config_from_json
from glam.licence import PHANTOMS, checkpoint_provenance
from glam.settings import changed_leaves
from glam.words.tokens import Tokenizer, from_vocab
from glam_train.config import PretrainConfig, changed_config
from glam_train.data.cache import PairCache, describe_cache
from glam_train.data.captions import check_reports
from glam_train.data.phantom_pairs import check_training_seeds
from glam_train.data.vocabulary import report_vocabulary
from glam_train.presets import preset
from glam_train.pretraining.phases import go_on_with
from glam_train.pretraining.run_folder import RunError, Start, check_fit, read_run, start_run

Options = Mapping[str, Any]
"""Settings that replace the preset's: nested dicts of JSON types (`glam_train.config.changed_config`)."""


@dataclass(frozen=True, kw_only=True)
class StartFiles:
    """The files that a new run starts from."""

    start_from: Path | None = None
    """A checkpoint."""
    model_only: bool = False
    """Whether to take only its model, which another method than the run's may have trained."""
    tokenizer: Path | None = None


def new_run(
    out: Path, cache: PairCache, *, preset_name: str, options: Options, files: StartFiles = StartFiles()
) -> None:
    """Start a run in the folder `out`. RunError where the cache does not fit the settings or a run is there."""
    start_from = files.start_from
    config = run_settings(preset_name, options=options, start_from=start_from)
    named = options.get("model", {}).get("frame", {})
    if start_from is None and "voi" not in named:  # the model of a checkpoint keeps what it was trained on
        config = replace(config, model=with_voi(config.model, cache.frame.voi))
    check_fit(config, cache)
    words = run_tokenizer(config, cache, files)
    text = replace(config.model.text, vocab_size=words.vocab_size)
    config = replace(config, model=replace(config.model, text=text))
    if cache.source.get("kind") == PHANTOMS:
        check_training_seeds(cache.source.get("seed", 0), num_pairs=len(cache))
    check_reports(cache.records, words, config)
    data = describe_cache(cache)
    start = None if start_from is None else first_weights(start_from, config, model_only=files.model_only)
    start_run(out, config, data=data, tokenizer=words, start=start, preset=preset_name)


def first_weights(checkpoint: Path, config: PretrainConfig, *, model_only: bool) -> Start:
    """Return the start from a checkpoint. RunError where it is another method's and `model_only` is not said.

    A method's loss is computed from its heads: those of another would be read as what they are not.
    """
    about = checkpoint_provenance(checkpoint) or {}
    method = about.get("method")
    theirs, ours = method.get("name") if isinstance(method, dict) else None, config.method.name
    if not model_only and theirs not in (None, ours):
        raise RunError(
            f"{checkpoint} was trained by {theirs}, not by {ours}: give the preset of its method, or --model-only to"
            " take its model alone and train it another way"
        )
    return Start(checkpoint, has_heads=not model_only and theirs == ours)


def run_settings(preset_name: str, *, options: Options, start_from: Path | None) -> PretrainConfig:
    """Return the settings of a preset with the user's options, and the model of the checkpoint to start from."""
    config = preset(preset_name)
    if start_from is not None:
        config = replace(config, model=_checkpoint_model(start_from))
    if "steps" in options and "warmup_steps" not in options:
        options = {**options, "warmup_steps": _shorter_warmup(config, options)}
    changed = changed_config(config, options)
    if start_from is not None and changed.model != config.model:
        name, (own, wanted) = next(iter(changed_leaves(config.model.as_json(), changed.model.as_json()).items()))
        raise RunError(
            f"the model at {start_from} has {name} {own}, not {wanted}: a run that starts from a checkpoint keeps its"
        )
    return changed


def _shorter_warmup(config: PretrainConfig, options: Options) -> int:
    """Return the preset's warmup, or a tenth of the updates asked for where that is less."""
    try:
        return min(config.warmup_steps, max(0, int(options["steps"]) // 10))
    except (TypeError, ValueError):  # no number, which is said where the settings are read
        return config.warmup_steps


def run_tokenizer(config: PretrainConfig, cache: PairCache, files: StartFiles) -> Tokenizer:
    """Return the tokenizer of the checkpoint to start from, of the file, or trained on the reports of the cache."""
    if files.start_from is not None:
        if files.tokenizer is not None:
            raise ValueError("a run that starts from a checkpoint keeps its tokenizer: leave out --tokenizer")
        return Tokenizer.from_file(files.start_from / "tokenizer.json")
    if files.tokenizer is None:
        return report_vocabulary(cache.records, style=config.text.style, places=config.flip_rows > 0)
    return read_tokenizer(files.tokenizer, lower_case=config.model.text.lower_case)


def read_tokenizer(path: Path, *, lower_case: bool) -> Tokenizer:
    """Return the tokenizer of a tokenizer.json, or of the vocab.txt of a BERT; ValueError for another file."""
    return from_vocab(path, lower_case=lower_case) if path.suffix == ".txt" else Tokenizer.from_file(path)


def check_resumed(out: Path, *, preset_name: str | None, options: Options, files: StartFiles = StartFiles()) -> None:
    """Refuse what the run in `out` was not started with; None: the option was not given.

    Settings that may change begin a phase of the run (`glam_train.pretraining.phases`).
    """
    run = read_run(out)
    begun_from, tokenizer = run.start and run.start.checkpoint, files.tokenizer
    wanted = {"preset": preset_name, "start_from": files.start_from and files.start_from.resolve()}
    kept = {"preset": run.preset or preset_name, "start_from": begun_from}  # older runs do not name their preset
    if tokenizer is not None:
        wanted["tokenizer"] = read_tokenizer(tokenizer, lower_case=run.config.model.text.lower_case).backend.to_str()
        kept["tokenizer"] = Tokenizer.from_file(run.tokenizer).backend.to_str()
    differing = [name for name, value in wanted.items() if value is not None and value != kept[name]]
    if "tokenizer" in differing:
        raise RunError(f"the run at {out} has another tokenizer than {tokenizer}: a resumed run keeps its own")
    for name in differing:
        raise RunError(f"the run at {out} has {name} {kept[name]}, not {wanted[name]}: a resumed run keeps its own")
    go_on_with(out, options)


def with_voi(model: ModelConfig, voi: VoiPolicy | None) -> ModelConfig:
    """Return the model configuration with another policy of grey values; None: its own."""
    return model if voi is None else replace(model, frame=replace(model.frame, voi=voi))


def frame_to_prepare(
    preset_name: str | None, checkpoint: Path | None, voi: VoiPolicy | None, *, default: str
) -> FrameConfig:
    """Return the frame that images are prepared for: of a preset, or of the checkpoint that is to be trained on.

    RunError where both are named.
    """
    if checkpoint is None:
        return with_voi(preset(preset_name or default).model, voi).frame
    if preset_name is not None or voi is not None:
        raise RunError("a cache for a checkpoint is prepared as its model takes images: leave out --preset and --voi")
    return _checkpoint_model(checkpoint).frame


def _checkpoint_model(folder: Path) -> ModelConfig:
    path = folder / "config.json"
    if (folder / "bundle.json").is_file():
        raise ValueError(
            f"no checkpoint at {folder}: it is a bundle, start from the checkpoint that it was exported from"
        )
    if not path.is_file():
        raise ValueError(f"no checkpoint at {folder}: give a folder such as runs/mine/checkpoints/step-0001000")
    try:
        return model_config_from_json(json.loads(path.read_text()))
    except (LookupError, TypeError, ValueError, AttributeError) as error:  # the file is the user's
        raise ValueError(f"{path} is no model of this version ({error}): give another checkpoint") from error
