"""Pairs of phantoms for training: drawn, prepared as files are, and cached; no file is written on the way."""

import zlib
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from glam.config import FrameConfig
from glam.findings import InputError
from glam.phantom import Pair, PhantomOptions, draw_pair, report_facts, view_of
from glam.phantom.options import HELD_OUT_SEED, NUM_HELD_OUT
from glam.prepare import prepare
from glam_train.config import MAX_SEED
from glam_train.data.cache import PreparedPair, fill_cache, open_cache_folder

NATURAL = PhantomOptions(px_mm=0.48)
"""The phantom's own mix of findings."""
CONSPICUOUS = replace(
    NATURAL,
    lesion_weights=(0.2, 0.5, 0.0, 0.1, 0.0, 0.2, 0.0),
    mass_mm=(10.0, 30.0),
    mass_median_mm=16.0,
    mass_densities=("equal", "high"),
)
"""Mostly masses that are visible at 252 px, which a small model learns first."""
CONSPICUOUS_SHARE = 0.65
TRAINING_SEED = 20_250_000
"""Phantoms are numbered from a seed; evaluation starts from another (`glam.phantom.options.HELD_OUT_SEED`)."""


def options_of(index: int, *, seed: int) -> PhantomOptions:
    """The options of training phantom `index`: conspicuous or natural, by the seed."""
    conspicuous = np.random.default_rng([seed, index]).random() < CONSPICUOUS_SHARE
    return CONSPICUOUS if conspicuous else NATURAL


def prepared_phantom(
    index: int, *, seed: int, frame: FrameConfig, options: PhantomOptions | None = None
) -> PreparedPair | None:
    """Draw and prepare training phantom `index`; None where the preparation refuses it.

    `options`: of every phantom. None: the mix that is trained on.
    """
    options = options or options_of(index, seed=seed)
    pair = draw_pair(seed + index, options, laterality="R" if index % 2 else "L")
    try:
        cc, mlo = (prepare(view_of(projection, frame), frame) for projection in (pair.cc, pair.mlo))
    except InputError:
        return None
    return PreparedPair(cc=cc, mlo=mlo, record=phantom_record(pair, f"phantom-{seed}-{index}"))


def phantom_record(pair: Pair, pair_id: str) -> dict[str, Any]:
    """Return the cache record of a phantom: its report's facts, and the places that both views show, as JSON types."""
    age = 40 + zlib.crc32(pair_id.encode()) % 41
    facts = report_facts(pair.truth, "CC", age=age)
    return {
        "pair_id": pair_id,
        "patient_id": pair_id,
        "facts": asdict(facts) | {"lesions": [lesion.as_json() for lesion in facts.lesions]},
        "points": {kind: _points(pair, kind) for kind in ("lesion", "tissue")},
    }


def phantom_source(seed: int) -> dict[str, Any]:
    """Return the source of the training phantoms of a seed, as JSON types, for cache and provenance."""
    return {
        "kind": "phantoms",
        "seed": seed,
        "conspicuous_share": CONSPICUOUS_SHARE,
        "conspicuous": asdict(CONSPICUOUS),
        "natural": asdict(NATURAL),
    }


def check_training_seeds(seed: int, *, num_pairs: int) -> None:
    """Raise ValueError for phantoms of seeds that evaluation is held out on."""
    if seed < HELD_OUT_SEED + NUM_HELD_OUT and seed + num_pairs > HELD_OUT_SEED:
        raise ValueError(
            f"seed {seed} draws phantoms that evaluation keeps for itself ({HELD_OUT_SEED} and the {NUM_HELD_OUT} after"
            " it), which would be trained on: give another seed"
        )


def _points(pair: Pair, kind: str) -> dict[str, list[list[float]]]:
    """Return the same places in both views, in stored pixels: view -> (point, 2) x and y."""
    views = {"cc": pair.truth.views["CC"], "mlo": pair.truth.views["MLO"]}
    if kind == "tissue":
        return {key: np.round(view.tissue, 1).tolist() for key, view in views.items()}
    return {key: [list(lesion.centre) for lesion in view.lesions] for key, view in views.items()}


def cache_phantoms(folder: Path, *, num_pairs: int, seed: int, frame: FrameConfig, workers: int = 1) -> Iterator[int]:
    """Fill a prepared cache with phantoms, shard by shard in parallel; yield pairs done so far.

    Phantom k of a seed is the same whatever `num_pairs` and `workers`; shards that are there are kept.
    """
    check_training_seeds(seed, num_pairs=num_pairs)
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"seed is {seed}: give a whole number from 0 to {MAX_SEED}")
    open_cache_folder(folder, frame, phantom_source(seed), num_pairs=num_pairs)
    build = partial(prepared_phantom, seed=seed, frame=frame)
    yield from fill_cache(folder, range(num_pairs), build, workers=workers)
