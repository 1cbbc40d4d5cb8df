"""`glam-train evaluate` and `provenance`: figures of a bundle, and what stands behind a run's model."""

import json
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from glam_train.commands.options import check_counts, with_bar


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

        check_counts(exams=self.exams, **({} if self.threads is None else {"threads": self.threads}))
        written.check_outputs(self.out, self.page)
        cache = read_cache(self.cache)
        written.check_phantoms(cache, self.cache)
        predictor = load(self.bundle, threads=self.threads)
        written.check_trained_on(predictor.bundle, cache, self.cache)
        show = partial(with_bar, label="evaluate")
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
