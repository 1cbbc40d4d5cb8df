"""The commands of `glam-train`: each a frozen dataclass with run(), importable without tyro and torch."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from glam.config import VoiPolicy
from glam.settings import merged
from glam_train.command_line import read_settings
from glam_train.presets import PRESETS, describe_preset, list_presets
from glam_train.presets.frames import told_preparation

if TYPE_CHECKING:
    from glam_train.pretraining.start import Start

    PresetName = str
else:
    PresetName = Literal[tuple(PRESETS)]
"""The presets in the table, as the choices of an option."""


@dataclass(frozen=True, kw_only=True)
class Prepare:
    """Prepare the CC/MLO pairs of a manifest into a cache; prints their number."""

    manifest: Path
    """CSV or Parquet, a row an image (docs/train.md)."""
    out: Path
    """Folder of the cache; what is there already is kept."""
    split: Literal["train", "val", "test"] = "train"
    preset: PresetName | None = None
    """The preset whose image size and frame to prepare for. None: glam, or that of `checkpoint`."""
    checkpoint: Path | None = None
    """A checkpoint to go on from: images are prepared as its model takes them. None: as the preset says."""
    voi: VoiPolicy | None = None
    """Policy of grey values (docs/reading.md). None: the preset's. A model trained on the cache reads files by it."""
    workers: int = 1
    """Number of processes."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the frame that replace the preset's: nested, of JSON types."""

    def run(self) -> None:
        """Fill the cache."""
        from glam_train.data.cache import read_cache
        from glam_train.data.pairs import cache_manifest, manifest_source, paired_rows
        from glam_train.pretraining.start import frame_to_prepare

        _check_counts(workers=self.workers)
        frame = frame_to_prepare(self.preset, self.checkpoint, self.voi, default="glam", options=self.settings)
        rows, lone = paired_rows(self.manifest, split=self.split)
        source = manifest_source(self.manifest, split=self.split)
        done = cache_manifest(self.out, rows, source=source, frame=frame, workers=self.workers)
        _with_bar(done, total=len(rows), label="prepare")
        sys.stderr.write(f"prepared as {told_preparation(frame)}\n")
        counts = {"pairs": len(read_cache(self.out)), "of": len(rows), "breasts_with_one_view": lone}
        sys.stdout.write(json.dumps(counts) + "\n")


@dataclass(frozen=True, kw_only=True)
class PreparePhantoms:
    """Draw phantoms and prepare them into a cache; prints their number."""

    out: Path
    """Folder of the cache; what is there already is kept."""
    pairs: int = 4096
    """Number of breasts."""
    seed: int | None = None
    """Seed of the first phantom. None: that of the training phantoms."""
    preset: PresetName | None = None
    """The preset whose image size and frame to prepare for. None: tiny, or that of `checkpoint`."""
    checkpoint: Path | None = None
    """A checkpoint to go on from: phantoms are prepared as its model takes them. None: as the preset says."""
    voi: VoiPolicy | None = None
    """Policy of grey values (docs/reading.md). None: the preset's. A model trained on the cache reads files by it."""
    workers: int = 1
    """Number of processes."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the frame that replace the preset's: nested, of JSON types."""

    def run(self) -> None:
        """Fill the cache."""
        from glam_train.data.cache import read_cache
        from glam_train.data.phantom_pairs import TRAINING_SEED, cache_phantoms
        from glam_train.pretraining.start import frame_to_prepare

        _check_counts(workers=self.workers, pairs=self.pairs)
        seed = TRAINING_SEED if self.seed is None else self.seed
        frame = frame_to_prepare(self.preset, self.checkpoint, self.voi, default="tiny", options=self.settings)
        done = cache_phantoms(self.out, num_pairs=self.pairs, seed=seed, frame=frame, workers=self.workers)
        _with_bar(done, total=self.pairs, label="prepare")
        sys.stderr.write(f"prepared as {told_preparation(frame)}\n")
        sys.stdout.write(json.dumps({"pairs": len(read_cache(self.out)), "seed": seed}) + "\n")


@dataclass(frozen=True, kw_only=True)
class Pretrain:
    """Pretrain on a prepared cache; prints the folder of the last checkpoint."""

    cache: Path
    """Folder of a cache that `glam-train prepare` or `prepare-phantoms` wrote."""
    out: Path
    """Folder of the run."""
    preset: PresetName | None = None
    """The published settings to train with. None: glam, or those of the run that is resumed."""
    config: Path | None = None
    """JSON file of settings that replace the preset's: some, or all, or the config.json of a run. None: no file."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings that replace those of preset and file: nested, of JSON types."""
    resume: bool = False
    """Continue the run in `out`, if there is one, from its newest checkpoint and with its own settings."""
    start_from: Path | None = None
    """Checkpoint whose weights and tokenizer to start from. None: published weights, or random ones."""
    model_only: bool = False
    """Take the model of `start_from` alone, not the heads of its method, which may be another than the preset's."""
    vision_weights: Path | None = None
    """Published weights of the vision tower: a file or a folder (docs/train.md). None: random weights."""
    text_weights: Path | None = None
    """Published weights of the text tower, with their tokenizer: a folder of transformers. None: random weights."""
    from_hub: tuple[str, ...] = ()
    """Names on the Hugging Face hub to fetch published weights of towers by; nothing else asks the network."""
    from_scratch: bool = False
    """Start from random weights where the preset's paper starts from published ones."""
    tokenizer: Path | None = None
    """A tokenizer.json, or the vocab.txt of a BERT. None: that of the weights, or one trained on the reports."""
    device: str | None = None
    """cpu, cuda, cuda:1 ... None: a GPU where there is one."""
    save_every: int | None = None
    """Updates between checkpoints. None: a quarter of an hour between them, and one at the end."""
    readers: int | None = None
    """Threads that read and change the images of coming updates. None: 1 on a processor, 4 for a GPU."""
    stop_after_s: float | None = None
    """Save and stop after this many seconds, to be resumed. None: run to the end."""
    checkpointing: bool = False
    """Compute what is inside the towers a second time for the gradient, in place of keeping it: less memory."""
    compile: bool = False
    """Compile the towers with torch.compile before the first update."""
    deterministic: bool = False
    """Take only algorithms of torch that give the same bits again on a GPU, as those on the CPU do."""
    log: Literal["wandb"] | None = None
    """wandb: metrics go to Weights & Biases too, as a record on this machine. None: metrics.jsonl and TensorBoard."""
    wandb_online: bool = False
    """Send that record, and the settings of the run, to the wandb server while the run goes on."""

    def run(self) -> None:
        """Train."""
        from glam_train.data.cache import read_cache, verify_pixels
        from glam_train.pretraining.announcement import announcement
        from glam_train.pretraining.errors import RunEnded
        from glam_train.pretraining.lock import check_free
        from glam_train.pretraining.loop import LoopOptions, pretrain
        from glam_train.pretraining.run_folder import has_run
        from glam_train.pretraining.setup import usable_device
        from glam_train.pretraining.start import check_resumed, new_run, with_hub

        loop_options = LoopOptions(
            device=self.device,
            save_every=self.save_every,
            readers=self.readers,
            stop_after_s=self.stop_after_s,
            checkpointing=self.checkpointing,
            compile=self.compile,
            deterministic=self.deterministic,
            log=self.log,
            wandb_online=self.wandb_online,
        )
        cache, options = read_cache(self.cache), self.changes()
        if os.environ.get("RANK", "0") != "0":  # of torchrun: the first process starts the run, and speaks for all
            try:
                pretrain(self.out, cache, loop_options)
            except RunEnded as error:
                raise SystemExit(error.exit_code) from None
            return
        usable_device(self.device)
        check_free(self.out)
        _with_bar(verify_pixels(cache), total=len(cache), label="verify the cache")
        start = with_hub(self._start(), self.from_hub)
        if self.resume and has_run(self.out):
            check_resumed(self.out, preset_name=self.preset, options=options, start=start)
        else:
            preset_name, asked = self.preset or "glam", self.settings
            new_run(self.out, cache, preset_name=preset_name, options=options, start=start, asked=asked)
        sys.stderr.write(f"{announcement(self.out, num_pairs=len(cache))}\n")
        sys.stdout.write(f"{pretrain(self.out, cache, loop_options)}\n")

    def _start(self) -> "Start":
        from glam_train.pretraining.start import Start

        return Start(
            checkpoint=self.start_from,
            model_only=self.model_only,
            tokenizer=self.tokenizer,
            vision_weights=self.vision_weights,
            text_weights=self.text_weights,
            from_scratch=self.from_scratch,
        )

    def changes(self) -> Mapping[str, Any]:
        """Return the settings that replace the preset's, or the run's: those of the file, and over them `settings`."""
        return self.settings if self.config is None else merged(read_settings(self.config), self.settings)


@dataclass(frozen=True, kw_only=True)
class Presets:
    """List the presets; of one, print its settings and what differs from its paper's, all as JSON."""

    name: PresetName | None = None
    """None: all their names, each with what it is."""

    def run(self) -> None:
        """Print them."""
        about = list_presets() if self.name is None else describe_preset(self.name)
        sys.stdout.write(json.dumps(about, indent=1) + "\n")


@dataclass(frozen=True, kw_only=True)
class ImportOfficial:
    """Turn a Lightning checkpoint of the released code into a checkpoint folder; no code in the file is run."""

    checkpoint: Path
    """The .ckpt file."""
    tokenizer: Path
    """The vocab.txt that it was trained with (BioClinicalBERT's for the published recipe)."""
    vision_heads: int
    """Attention heads of the vision transformer, which the file does not tell (12 for ViT-B)."""
    text_heads: int
    """Attention heads of BERT, which the file does not tell (12 for BERT base)."""
    out: Path
    """The folder to write."""
    image_size: int | None = None
    """Side of the square image, in pixels. None: the crop_size stored in the file."""

    def run(self) -> None:
        """Write the folder."""
        from glam_train.official import check_new, import_official, write_imported

        _check_counts(vision_heads=self.vision_heads, text_heads=self.text_heads)
        check_new(self.out)
        imported = import_official(
            self.checkpoint,
            tokenizer=self.tokenizer,
            vision_heads=self.vision_heads,
            text_heads=self.text_heads,
            image_size=self.image_size,
        )
        write_imported(imported, self.out, checkpoint=self.checkpoint)


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measure a bundle on phantom exams outside its training set; prints the figures as JSON."""

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
        from glam_train.evaluation import results as written

        _check_counts(exams=self.exams, **({} if self.threads is None else {"threads": self.threads}))
        written.check_outputs(self.out, self.page)
        cache = read_cache(self.cache)
        written.check_phantoms(cache, self.cache)
        predictor = load(self.bundle, threads=self.threads)
        written.check_trained_on(predictor.bundle, cache, self.cache)
        show = partial(_with_bar, label="evaluate")
        figures = evaluate(predictor, cache.records, num_exams=self.exams, show=show)
        about = written.describe_bundle(predictor.bundle)
        results = written.results_json(figures, bundle=about, exams=self.exams, seed=HELD_OUT_SEED)
        written.write_results(results, out=self.out, page=self.page)
        if lacking := written.undefined(results["figures"]):
            sys.stderr.write(f"{self.exams} exams do not define {', '.join(lacking)}: give more --exams, such as 300\n")
        told = results | {"figures": written.labelled(results["figures"])}
        sys.stdout.write(json.dumps(told) + "\n")


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Print the data and the licence behind a run's model, as JSON for `glam-export --provenance`."""

    run_folder: Path
    """Folder of the run."""
    results: Path | None = None
    """File that `glam-train evaluate` wrote, to be carried in the bundle. None: no figures."""
    licence: str | None = None
    """Licence of the data. None: phantoms, which need no licence."""

    def run(self) -> None:
        """Print it."""
        from glam_train.evaluation.results import read_results
        from glam_train.pretraining.run_folder import provenance

        content = provenance(self.run_folder, licence=self.licence)
        if self.results is not None:
            content["metrics"] = read_results(self.results)
        sys.stdout.write(json.dumps(content, indent=1) + "\n")


def _check_counts(**counts: int) -> None:
    """Raise ValueError for an option below 1 that counts something."""
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} is {count}: give 1 or more")


def _with_bar(done: Iterator[int], *, total: int, label: str) -> None:
    """Run through the counts of what is done so far, with a progress bar on stderr."""
    from glam_train.progress import progress_bar

    with progress_bar(label, total=total) as show_done:
        for count in done:
            show_done(count)
