"""What the commands of `glam-train` do: each a frozen dataclass with run(), importable without tyro."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from glam.config import VoiPolicy

if TYPE_CHECKING:
    from glam.config import ModelConfig
    from glam.words.tokens import Tokenizer
    from glam_train.config import PretrainConfig
    from glam_train.data.cache import PairCache

PresetName = Literal["tiny", "glam", "glam-paper", "glam-official"]
OVERRIDES = ("batch_size", "learning_rate", "seed", "correspondence_weight", "tissue_weight", "flip_rows")
"""Settings of a preset that `pretrain` takes as options."""


@dataclass(frozen=True, kw_only=True)
class Prepare:
    """Read and prepare the CC/MLO pairs of a manifest into a cache; prints how many."""

    manifest: Path
    """CSV or Parquet, a row an image (docs/train.md)."""
    out: Path
    """Folder of the cache; what is there already is kept."""
    split: Literal["train", "val", "test"] = "train"
    preset: PresetName = "glam"
    """Whose image size and frame to prepare for."""
    voi: VoiPolicy | None = None
    """Policy of grey values (docs/reading.md). None: the preset's. A model trained on the cache reads files by it."""
    workers: int = 1
    """Processes."""

    def run(self) -> None:
        """Fill the cache."""
        from glam_train.data.cache import read_cache
        from glam_train.data.pairs import cache_manifest, manifest_source, paired_rows
        from glam_train.methods import PRESETS

        rows, lone = paired_rows(self.manifest, split=self.split)
        frame = _with_voi(PRESETS[self.preset]().model, self.voi).frame
        source = manifest_source(self.manifest, split=self.split)
        _show(cache_manifest(self.out, rows, source=source, frame=frame, workers=self.workers), total=len(rows))
        found = {"pairs": len(read_cache(self.out)), "of": len(rows), "breasts_with_one_view": lone}
        sys.stdout.write(json.dumps(found) + "\n")


@dataclass(frozen=True, kw_only=True)
class PreparePhantoms:
    """Draw phantoms and prepare them into a cache; prints how many."""

    out: Path
    """Folder of the cache; what is there already is kept."""
    pairs: int = 4096
    """How many breasts."""
    seed: int | None = None
    """Of the first phantom. None: that of the training phantoms."""
    preset: PresetName = "tiny"
    """Whose image size and frame to prepare for."""
    voi: VoiPolicy | None = None
    """Policy of grey values (docs/reading.md). None: the preset's. A model trained on the cache reads files by it."""
    workers: int = 1
    """Processes."""

    def run(self) -> None:
        """Fill the cache."""
        from glam_train.data.cache import read_cache
        from glam_train.data.phantom_pairs import TRAINING_SEED, cache_phantoms
        from glam_train.methods import PRESETS

        seed = TRAINING_SEED if self.seed is None else self.seed
        frame = _with_voi(PRESETS[self.preset]().model, self.voi).frame
        done = cache_phantoms(self.out, num_pairs=self.pairs, seed=seed, frame=frame, workers=self.workers)
        _show(done, total=self.pairs)
        sys.stdout.write(json.dumps({"pairs": len(read_cache(self.out)), "seed": seed}) + "\n")


@dataclass(frozen=True, kw_only=True)
class Pretrain:
    """Pretrain on a prepared cache; prints the folder of the last checkpoint."""

    cache: Path
    """Folder that `glam-train prepare` or `prepare-phantoms` made."""
    out: Path
    """Folder of the run."""
    preset: PresetName = "glam"
    """The published settings to train with."""
    resume: bool = False
    """Go on with the run in `out`, if there is one, from its newest checkpoint and with its own settings."""
    start_from: Path | None = None
    """Checkpoint whose weights and tokenizer to start from. None: random weights, a vocabulary from the reports."""
    tokenizer: Path | None = None
    """A tokenizer.json, or the vocab.txt of a BERT. None: trained on the reports, or that of `start_from`."""
    steps: int | None = None
    """Optimizer updates. None: the preset's."""
    batch_size: int | None = None
    """Pairs a forward pass. None: the preset's."""
    learning_rate: float | None = None
    """None: the preset's."""
    seed: int | None = None
    """None: the preset's."""
    correspondence_weight: float | None = None
    """Weight of the places of findings that both views show. None: the preset's; 0: the model is told none."""
    tissue_weight: float | None = None
    """Weight of plain tissue points beside those findings (phantoms). None: the preset's."""
    flip_rows: float | None = None
    """Chance of each view to have its rows turned over. None: the preset's."""
    device: str | None = None
    """cpu, cuda, cuda:1 ... None: a GPU where there is one."""
    save_every: int | None = None
    """Updates between checkpoints. None: only at the end."""
    stop_after_s: float | None = None
    """Save and stop after this many seconds, to be resumed. None: run to the end."""

    def run(self) -> None:
        """Train."""
        from glam_train.data.cache import read_cache
        from glam_train.pretraining.loop import LoopOptions, pretrain
        from glam_train.pretraining.run_folder import has_run

        cache = read_cache(self.cache)
        if self.resume and has_run(self.out):
            self._check_settings()
        else:
            self._start(cache)
        options = LoopOptions(device=self.device, save_every=self.save_every, stop_after_s=self.stop_after_s)
        sys.stdout.write(f"{pretrain(self.out, cache, options)}\n")

    def _start(self, cache: "PairCache") -> None:
        from glam_train.pretraining.loop import check_fit, describe_cache
        from glam_train.pretraining.run_folder import start_run

        config = self._settings()
        if self.start_from is None:  # a checkpoint goes on reading files as it was trained to
            config = replace(config, model=_with_voi(config.model, cache.frame.voi))
        check_fit(config, cache)
        tokenizer = self._vocabulary(cache, config)
        text = replace(config.model.text, vocab_size=tokenizer.vocab_size)
        config = replace(config, model=replace(config.model, text=text))
        start_run(self.out, config, data=describe_cache(cache), tokenizer=tokenizer, start_from=self.start_from)

    def _check_settings(self) -> None:
        """Refuse an option that the run to be resumed was not started with."""
        from glam_train.pretraining.run_folder import read_run

        config = read_run(self.out).config
        for name in ("steps", *OVERRIDES):
            given, kept = getattr(self, name), getattr(config, name)
            if given not in (None, kept):
                raise ValueError(f"the run at {self.out} has {name} {kept}, not {given}: a resumed run keeps its own")

    def _settings(self) -> "PretrainConfig":
        from glam_train.methods import PRESETS

        config = PRESETS[self.preset]()
        if self.start_from is not None:
            config = replace(config, model=_checkpoint_config(self.start_from))
        if self.steps is not None:
            config = replace(config, steps=self.steps, warmup_steps=min(config.warmup_steps, self.steps // 10))
        return replace(config, **{name: getattr(self, name) for name in OVERRIDES if getattr(self, name) is not None})

    def _vocabulary(self, cache: "PairCache", config: "PretrainConfig") -> "Tokenizer":
        from glam.words.tokens import Tokenizer, from_vocab
        from glam_train.data.vocabulary import report_vocabulary

        if self.start_from is not None:
            return Tokenizer.from_file(self.start_from / "tokenizer.json")
        if self.tokenizer is None:
            return report_vocabulary(cache.records, style=config.text.style, places=config.flip_rows > 0)
        if self.tokenizer.suffix == ".txt":
            return from_vocab(self.tokenizer, lower_case=config.model.text.lower_case)
        return Tokenizer.from_file(self.tokenizer)


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Ask a bundle about phantom exams it never saw; prints the figures as JSON."""

    bundle: Path
    """Folder of the bundle."""
    cache: Path
    """The phantom cache it was trained on: the position-only predictor is fitted there."""
    out: Path
    """JSON file for the figures."""
    page: Path | None = None
    """Markdown page to write, docs/results.md for the demo bundle. None: no page."""
    exams: int = 300
    """Phantom exams, two breasts each."""
    threads: int | None = None
    """Threads of the runtime. None: all cores."""

    def run(self) -> None:
        """Draw, predict, score."""
        from glam.loading import load
        from glam.phantom.trial import HELD_OUT_SEED, evaluate
        from glam_train.data.cache import read_cache
        from glam_train.evaluation.results import describe_bundle, results_json, write_results

        predictor = load(self.bundle, threads=self.threads)
        figures = evaluate(predictor, read_cache(self.cache).records, num_exams=self.exams, show=_show)
        results = results_json(figures, bundle=describe_bundle(predictor.bundle), exams=self.exams, seed=HELD_OUT_SEED)
        write_results(results, out=self.out, page=self.page)
        sys.stdout.write(json.dumps(results["figures"]) + "\n")


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Print, as JSON for `glam-export --provenance`, what the model of a run saw and under which licence."""

    run_folder: Path
    """Folder of the run."""
    results: Path | None = None
    """What `glam-train evaluate` wrote, to be carried in the bundle."""
    licence: str | None = None
    """Licence of the data; phantoms need none."""

    def run(self) -> None:
        """Print it."""
        from glam_train.pretraining.run_folder import provenance

        content = provenance(self.run_folder, licence=self.licence)
        if self.results is not None:
            content["metrics"] = json.loads(self.results.read_text())
        sys.stdout.write(json.dumps(content, indent=1) + "\n")


def _with_voi(model: "ModelConfig", voi: VoiPolicy | None) -> "ModelConfig":
    """Return a model configuration with another policy of grey values; None: its own."""
    return model if voi is None else replace(model, frame=replace(model.frame, voi=voi))


def _checkpoint_config(folder: Path) -> "ModelConfig":
    from glam.config import model_config_from_json

    path = folder / "config.json"
    if not path.is_file():
        is_bundle = (folder / "bundle.json").is_file()
        way_out = ": it is a bundle, start from the checkpoint that it was exported from" if is_bundle else ""
        raise ValueError(f"no checkpoint at {folder}{way_out}")
    return model_config_from_json(json.loads(path.read_text()))


def _show(done: Iterator[int], *, total: int) -> None:
    """Draw a bar on stderr while the work goes on."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("prepare", total=total)
        for count in done:
            bar.update(task, completed=count)
