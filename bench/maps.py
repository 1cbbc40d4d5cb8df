"""Whether the maps of runs hit the rows of findings that nobody trained on: variants side by side, without export.

python -m bench.maps RUN [RUN ...] --cache CACHE [--held-out FOLDER] [--natural] [--pairs 512] [--workers 16] [--quick]

RUN is a folder that `glam-train pretrain` made, or a checkpoint; CACHE the phantoms it was trained on, from which the
position-only predictor is fitted. The held-out phantoms are of the training mix, or with --natural of the phantom's own
mix at the pixel pitch of its files; a folder of them is kept and used again. The torch model is asked, through the same
scoring as `glam-train evaluate`, which asks a bundle about whole exams and is what a release quotes. A phantom figure
says nothing about patients. It needs neither pydicom nor tyro.
"""

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bench.report import goal, print_summary
from glam.attention import Attention
from glam.config import FrameConfig
from glam.correspondence import Queries, queries
from glam.frame import frame_from_json
from glam.metrics import Interval
from glam.model.checkpoint import load_checkpoint
from glam.model.torch_runtime import TorchRuntime
from glam.phantom import PhantomOptions
from glam.phantom.trial import BreastResult, Figures, figures, fit_priors
from glam.runtime import AlignOut
from glam.view import VIEW_KEYS, ViewKey
from glam.zeroshot import breast_embedding, class_probabilities
from glam_export.prompts import embed_class_prompts, style_of_reports
from glam_train.data.cache import PairCache, fill_cache, open_cache_folder, read_cache
from glam_train.data.phantom_pairs import phantom_source, prepared_phantom
from glam_train.evaluation.goals import Goal
from glam_train.pretraining.run_folder import checkpoints
from glam_train.pretraining.setup import usable_device

SEED = 55_000_000
BATCH = 64
Record = dict[str, Any]


def held_out(folder: Path, args: argparse.Namespace, frame: FrameConfig) -> PairCache:
    """Draw and prepare the phantoms to ask about, those that are not there yet."""
    options = PhantomOptions() if args.natural else None
    source = phantom_source(args.seed) | {"natural_alone": args.natural}
    open_cache_folder(folder, frame, source, num_pairs=args.pairs)
    build = partial(prepared_phantom, seed=args.seed, frame=frame, options=options)
    for done in fill_cache(folder, range(args.pairs), build, workers=args.workers):
        sys.stderr.write(f"\rprepared {done} of {args.pairs}")
    sys.stderr.write("\n")
    return read_cache(folder)


def checkpoint_of(run: Path) -> Path:
    """The newest checkpoint of a run, or the folder itself where it is a checkpoint."""
    saved = checkpoints(run)
    return saved[-1] if saved else run


def results(checkpoint: Path, cache: PairCache, *, device: str) -> Iterator[BreastResult]:
    """Ask a checkpoint about every pair of a cache."""
    model = load_checkpoint(checkpoint)
    config = model.config
    style = style_of_reports(checkpoint, config.text)
    vectors = embed_class_prompts(model, config.text, checkpoint / "tokenizer.json", style).vectors
    scale = model.scales().image_text.item()
    runtime = TorchRuntime(model.to(device))
    for start in range(0, len(cache), BATCH):
        records = cache.records[start : start + BATCH]
        squares = np.stack([cache.squares(start + index) for index in range(len(records))])  # (pair, view, side, side)
        seen = [runtime.vision(squares[:, [view]].astype(np.float32) / 65535) for view in (0, 1)]
        aligned = runtime.align(seen[0].patches, seen[1].patches)
        breasts = breast_embedding(np.stack([view.embedding for view in seen], axis=1))  # (pair, joint)
        density, mass = (class_probabilities(breasts, vectors[task], scale) for task in ("density", "mass"))
        for index, record in enumerate(records):
            yield BreastResult(
                exam=start + index,
                density=record["facts"]["density"],
                has_mass=any(kind == "mass" for kind in _kinds(record)),
                density_probabilities=density[index],
                mass_probability=float(mass[index, -1]),
                queries=_queries(record, aligned, index, grid=config.vision.grid[0]),
            )


def _kinds(record: Record) -> list[str]:
    return [lesion["kind"] for lesion in record["facts"]["lesions"]]


def _queries(record: Record, aligned: AlignOut, index: int, *, grid: int) -> dict[tuple[str, ViewKey], Queries]:
    attention = Attention(**{name: array[index] for name, array in aligned._asdict().items()})
    frames: dict[ViewKey, Any] = {key: frame_from_json(record["frames"][key]) for key in VIEW_KEYS}
    masses = np.array([kind == "mass" for kind in _kinds(record)], dtype=bool)
    asked = {}
    for kind, stored in (("mass", "lesion"), ("lesion", "lesion"), ("tissue", "tissue")):
        points: dict[ViewKey, Any] = {
            key: np.array(record["points"][stored][key], float).reshape(-1, 2)[
                masses if kind == "mass" else slice(None)
            ]
            for key in VIEW_KEYS
        }
        for view in VIEW_KEYS:
            asked[kind, view] = queries(attention, view, frames, points, grid=grid)
    return asked


def summary_of(measured: Figures) -> dict[str, Any]:
    """Figures as JSON types, each with the ends of its interval."""
    hits = {
        kind: {"points": hit.points} | {name: _rounded(interval) for name, interval in vars(hit.hit_at_1).items()}
        for kind, hit in measured.hits.items()
    }
    return {
        "hit_at_1": hits,
        "density_macro_auc": _rounded(measured.density_macro_auc),
        "mass_auc": _rounded(measured.mass_auc),
        "breasts": measured.num_breasts,
        "with_mass": measured.num_with_mass,
    }


def goals_of(run: str, measured: Figures) -> dict[str, Goal]:
    """Goals of a run: its maps against position alone, and density."""
    ratio = measured.hits["mass"].hit_at_1.ratio
    density = measured.density_macro_auc
    return {
        f"{run}: hit@1 of masses over position alone": goal(ratio and round(ratio.value, 4), at_least=2.0),
        f"{run}: the lower end of its interval": goal(ratio and round(ratio.low, 4), at_least=1.7),
        f"{run}: density macro AUC": goal(density and round(density.value, 4), at_least=0.98),
    }


def _rounded(interval: Interval | None) -> list[float] | None:
    return interval and [round(float(number), 4) for number in interval[:3]]


def measure(runs: list[Path], cache: PairCache, pairs: PairCache, *, device: str) -> dict[str, Figures]:
    """Run -> its figures, on the same phantoms and against the same predictor."""
    measured: dict[str, Figures] = {}
    for run in runs:
        checkpoint = checkpoint_of(run)
        side = load_checkpoint(checkpoint).config.alignment.side
        asked = list(results(checkpoint, pairs, device=device))
        measured[str(run)] = figures(asked, fit_priors(cache.records, side=side), seed=0)
    return measured


def main() -> None:
    """Measure, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--cache", type=Path, required=True, help="the training phantoms")
    parser.add_argument("--held-out", type=Path, help="folder to keep the drawn phantoms in")
    parser.add_argument("--natural", action="store_true", help="the phantom's own mix instead of the training mix")
    parser.add_argument("--pairs", type=int, default=512)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--device", help="cpu, cuda ...; a GPU where there is one, if not given")
    parser.add_argument("--quick", action="store_true", help="64 pairs")
    args = parser.parse_args()
    args.pairs = 64 if args.quick else args.pairs
    cache = read_cache(args.cache)
    with TemporaryDirectory() as folder:
        pairs = held_out(args.held_out or Path(folder), args, cache.frame)
        measured = measure(args.runs, cache, pairs, device=usable_device(args.device))
    summaries = {run: summary_of(figures_of_run) for run, figures_of_run in measured.items()}
    goals: dict[str, Goal] = {}
    for run, figures_of_run in measured.items():
        goals |= goals_of(run, figures_of_run)
    about = {"pairs": len(pairs), "seed": args.seed, "natural_alone": args.natural}
    print_summary("maps", {"runs": summaries} | about, goals)


if __name__ == "__main__":
    main()
