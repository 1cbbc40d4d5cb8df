"""`glam-train pretrain`."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glam.settings import merged
from glam_train.command_line import read_settings
from glam_train.commands.options import PresetName, with_bar
from glam_train.pretraining.options import SessionOptions

if TYPE_CHECKING:
    from glam_train.pretraining.begun import Start


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a run is: its data, its folder, its settings, and what it starts from."""

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

    def start(self) -> "Start":
        """Return the files to start from."""
        from glam_train.pretraining.begun import Start

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
class Pretrain(SessionOptions, RunOptions):  # --help lists the fields of the last base first
    """Pretrain on a prepared cache; prints the folder of the last checkpoint."""

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

        loop_options = LoopOptions(**{option.name: getattr(self, option.name) for option in fields(SessionOptions)})
        cache, options = read_cache(self.cache), self.changes()
        if os.environ.get("RANK", "0") != "0":  # of torchrun: the first process starts the run, and speaks for all
            try:
                pretrain(self.out, cache, loop_options)
            except RunEnded as error:
                raise SystemExit(error.exit_code) from None
            return
        usable_device(self.device)
        check_free(self.out)
        with_bar(verify_pixels(cache), total=len(cache), label="verify the cache")
        start = with_hub(self.start(), self.from_hub)
        if self.resume and has_run(self.out):
            check_resumed(self.out, preset_name=self.preset, options=options, start=start)
        else:
            preset_name, asked = self.preset or "glam", self.settings
            new_run(self.out, cache, preset_name=preset_name, options=options, start=start, asked=asked)
        sys.stderr.write(f"{announcement(self.out, num_pairs=len(cache))}\n")
        sys.stdout.write(f"{pretrain(self.out, cache, loop_options)}\n")
