"""The settings and the tokenizer of a new run, from a preset, a checkpoint and the user's options."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from glam.config import FrameConfig, ModelConfig, VoiPolicy, model_config_from_json
from glam.licence import PHANTOMS, checkpoint_provenance
from glam.settings import changed_leaves, merged, settings_from_json
from glam.words.tokens import Tokenizer, from_vocab
from glam_train.config import PretrainConfig, changed_config
from glam_train.data.balance import check_balance
from glam_train.data.cache import PairCache, describe_cache
from glam_train.data.captions import check_reports
from glam_train.data.phantom_pairs import check_training_seeds
from glam_train.data.vocabulary import report_vocabulary
from glam_train.parameters import built_without_weights
from glam_train.presets import preset
from glam_train.pretraining.asked import with_asked
from glam_train.pretraining.begun import Begun, Start
from glam_train.pretraining.errors import RunError
from glam_train.pretraining.phases import go_on_with
from glam_train.pretraining.run_folder import Run, check_fit, check_new, checkpoints, read_run, start_run
from glam_train.weights.hub import fetch
from glam_train.weights.towers import PublishedStart, published_start
from glam_train.weights.vision import is_vision

Options = Mapping[str, Any]
"""Settings that replace the preset's: nested dicts of JSON types (`glam_train.config.changed_config`)."""
NOTHING: Options = MappingProxyType({})


def with_hub(start: Start, names: Sequence[str]) -> Start:
    """Return the start with the towers of these names on the Hugging Face hub, fetched."""
    for name in names:
        folder = fetch(name)
        tower = "vision_weights" if is_vision(folder) else "text_weights"
        if getattr(start, tower) is not None:
            raise ValueError(f"{name} is a second {tower.replace('_', ' ')}: give one")
        start = replace(start, **{tower: folder})
    return start


def new_run(
    out: Path, cache: PairCache, *, preset_name: str, options: Options, start: Start, asked: Options = NOTHING
) -> None:
    """Start a run in the folder `out`. RunError where the cache does not fit the settings or a run is there.

    `asked`: those of the options that the command line has, which published weights must not contradict.
    """
    check_new(out)
    config = run_settings(preset_name, options=options, start_from=start.checkpoint)
    _check_weights(config, start, preset_name=preset_name)
    published = published_start(config.model, vision=start.vision_weights, text=start.text_weights)
    config = replace(config, model=with_asked(published, config.model, options=options, asked=asked))
    named = options.get("model", {}).get("frame", {})
    if start.checkpoint is None and "voi" not in named:  # the model of a checkpoint keeps what it was trained on
        config = replace(config, model=with_voi(config.model, cache.frame.voi))
    check_fit(config, cache, preset_name=preset_name)
    words = run_tokenizer(config, cache, start=start, published=published)
    if "text" not in published.towers:  # published weights may have more rows than their tokenizer has tokens
        text = replace(config.model.text, vocab_size=words.vocab_size, pad_id=words.pad_id)
        config = replace(config, model=replace(config.model, text=text))
    if cache.source.get("kind") == PHANTOMS:
        check_training_seeds(cache.source.get("seed", 0), num_pairs=len(cache))
    built_without_weights(config)  # a method that does not fit its model says so before there is a folder
    check_reports(cache.records, words, config)
    check_balance(cache.records, config)
    heads = start.checkpoint is not None and has_heads(start.checkpoint, config, model_only=start.model_only)
    begun = Begun(checkpoint=start.checkpoint, has_heads=heads, towers=published.towers)
    start_run(out, config, data=describe_cache(cache), tokenizer=words, start=begun, preset=preset_name)
    for tower, weights in published.towers.items():
        sys.stderr.write(f"{tower} weights: {weights.source['name']} ({weights.source['layout']})\n")


def has_heads(checkpoint: Path, config: PretrainConfig, *, model_only: bool) -> bool:
    """Whether a run starts from the heads of a checkpoint too. RunError where they are another method's.

    A method's loss is computed from its heads: those of another would be read as what they are not.
    """
    method = (checkpoint_provenance(checkpoint) or {}).get("method")
    theirs, ours = method.get("name") if isinstance(method, dict) else None, config.method.name
    if not model_only and theirs not in (None, ours):
        raise RunError(
            f"{checkpoint} was trained by {theirs}, not by {ours}: give the preset of its method, or --model-only to"
            " take its model alone and train it another way"
        )
    return not model_only and theirs == ours


def _check_weights(config: PretrainConfig, start: Start, *, preset_name: str) -> None:
    """Refuse to start from random numbers, unasked, what its paper starts from published weights."""
    if config.starts_from is None or start.from_scratch or start.checkpoint is not None:
        return
    paths = {"--vision-weights": start.vision_weights, "--text-weights": start.text_weights}
    if "text" in config.method.not_trained:
        del paths["--text-weights"]
    if missing := [option for option, path in paths.items() if path is None]:
        raise RunError(
            f"{preset_name} starts from published weights ({config.starts_from}): give {' and '.join(missing)}, or "
            "--from-scratch to start from random numbers, which reach no figure of the paper"
        )


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


def run_tokenizer(config: PretrainConfig, cache: PairCache, *, start: Start, published: PublishedStart) -> Tokenizer:
    """Return the tokenizer of the weights to start from, of the file, or trained on the reports of the cache."""
    own = published.tokenizer
    if start.checkpoint is not None:
        own = Tokenizer.from_file(start.checkpoint / "tokenizer.json")
    if own is not None:
        if start.tokenizer is not None:
            raise ValueError("a run that starts from weights with a tokenizer keeps it: leave out --tokenizer")
        return own
    if start.tokenizer is not None:
        return _fitting(read_tokenizer(start.tokenizer, lower_case=config.model.text.lower_case), config, published)
    if "text" in published.towers:
        raise ValueError(f"{start.text_weights} has no tokenizer: give its own with --tokenizer")
    text, turns = config.text, config.flip_rows > 0
    return report_vocabulary(cache.records, style=text.style, places=turns, reword=text.reword > 0)


def _fitting(words: Tokenizer, config: PretrainConfig, published: PublishedStart) -> Tokenizer:
    rows = config.model.text.vocab_size
    if "text" in published.towers and words.vocab_size > rows:
        raise ValueError(f"the tokenizer has {words.vocab_size} tokens, the text weights {rows}: give their own")
    return words


def read_tokenizer(path: Path, *, lower_case: bool) -> Tokenizer:
    """Return the tokenizer of a tokenizer.json, or of the vocab.txt of a BERT; ValueError for another file."""
    return from_vocab(path, lower_case=lower_case) if path.suffix == ".txt" else Tokenizer.from_file(path)


def check_resumed(out: Path, *, preset_name: str | None, options: Options, start: Start) -> None:
    """Refuse what the run in `out` was not started with; None: the option was not given.

    Settings that may change begin a phase of the run (`glam_train.pretraining.phases`).
    """
    run = read_run(out)
    checkpoint, tokenizer = start.checkpoint, start.tokenizer
    wanted = {"preset": preset_name, "start_from": checkpoint and checkpoint.resolve()}
    kept = {"preset": run.preset or preset_name, "start_from": run.start.checkpoint}  # older runs name no preset
    if tokenizer is not None:
        wanted["tokenizer"] = read_tokenizer(tokenizer, lower_case=run.config.model.text.lower_case).backend.to_str()
        kept["tokenizer"] = Tokenizer.from_file(run.tokenizer).backend.to_str()
    differing = [name for name, value in wanted.items() if value is not None and value != kept[name]]
    if "tokenizer" in differing:
        raise RunError(f"the run at {out} has another tokenizer than {tokenizer}: a resumed run keeps its own")
    for name in differing:
        raise RunError(f"the run at {out} has {name} {kept[name]}, not {wanted[name]}: a resumed run keeps its own")
    _check_same_weights(out, run, start)
    go_on_with(out, options)


def _check_same_weights(out: Path, run: Run, start: Start) -> None:
    """Refuse published weights that the run was not started from, and random numbers where it was."""
    if start.from_scratch and run.start.towers:
        raise RunError(f"the run at {out} has published weights: leave out --from-scratch, or give another --out")
    given = published_start(run.config.model, vision=start.vision_weights, text=start.text_weights).towers
    for tower, weights in given.items():
        if tower not in run.start.towers or run.start.towers[tower].source["sha256"] != weights.source["sha256"]:
            own = run.start.towers[tower].source["name"] if tower in run.start.towers else "random numbers"
            raise RunError(
                f"the {tower} tower of the run at {out} started from {own}, not from {weights.path}: "
                f"leave out --{tower}-weights, or give another --out"
            )


def with_voi(model: ModelConfig, voi: VoiPolicy | None) -> ModelConfig:
    """Return the model configuration with another policy of grey values; None: its own."""
    return model if voi is None else replace(model, frame=replace(model.frame, voi=voi))


def frame_to_prepare(
    preset_name: str | None, checkpoint: Path | None, voi: VoiPolicy | None, *, default: str, options: Options
) -> FrameConfig:
    """Return the frame that images are prepared for: of a preset, or of the checkpoint that is to be trained on.

    `options`: settings that replace the preset's, of its frame alone. RunError where a checkpoint is named too.
    """
    changes = options.get("model", {}).get("frame", {})
    if checkpoint is None:
        frame = with_voi(preset(preset_name or default).model, voi).frame
        return settings_from_json(FrameConfig, merged(asdict(frame), changes), within="model.frame.")
    if preset_name is not None or voi is not None or changes:
        raise RunError("a cache for a checkpoint is prepared as its model takes images: leave out --preset and --voi")
    return _checkpoint_model(checkpoint).frame


def _checkpoint_model(folder: Path) -> ModelConfig:
    path = folder / "config.json"
    if (folder / "bundle.json").is_file():
        raise ValueError(
            f"no checkpoint at {folder}: it is a bundle, start from the checkpoint that it was exported from"
        )
    if saved := checkpoints(folder):
        raise ValueError(f"no checkpoint at {folder}: it is the folder of a run, whose newest is {saved[-1]}")
    if not path.is_file():
        raise ValueError(f"no checkpoint at {folder}: give a folder such as runs/mine/checkpoints/step-0001000")
    try:
        return model_config_from_json(json.loads(path.read_text()))
    except (LookupError, TypeError, ValueError, AttributeError) as error:  # the file is the user's
        raise ValueError(f"{path} is no model of this version ({error}): give another checkpoint") from error
