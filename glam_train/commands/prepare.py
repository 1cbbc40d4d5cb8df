"""`glam-train prepare` and `prepare-phantoms`."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from glam.config import VoiPolicy
from glam_train.commands.options import PresetName, check_counts, with_bar
from glam_train.presets.frames import told_preparation


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

        check_counts(workers=self.workers)
        frame = frame_to_prepare(self.preset, self.checkpoint, self.voi, default="glam", options=self.settings)
        rows, lone = paired_rows(self.manifest, split=self.split)
        source = manifest_source(self.manifest, split=self.split)
        done = cache_manifest(self.out, rows, source=source, frame=frame, workers=self.workers)
        with_bar(done, total=len(rows), label="prepare")
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

        check_counts(workers=self.workers, pairs=self.pairs)
        seed = TRAINING_SEED if self.seed is None else self.seed
        frame = frame_to_prepare(self.preset, self.checkpoint, self.voi, default="tiny", options=self.settings)
        done = cache_phantoms(self.out, num_pairs=self.pairs, seed=seed, frame=frame, workers=self.workers)
        with_bar(done, total=self.pairs, label="prepare")
        sys.stderr.write(f"prepared as {told_preparation(frame)}\n")
        sys.stdout.write(json.dumps({"pairs": len(read_cache(self.out)), "seed": seed}) + "\n")
