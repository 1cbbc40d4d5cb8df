"""Figures as JSON, and docs/results.md from them."""

import hashlib
import json
import re
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from glam.bundle import Bundle
from glam.files import json_object
from glam.metrics import Interval
from glam.origin import commit, machine
from glam.phantom.trial import Figures
from glam.provenance import PHANTOMS
from glam_train.data.cache import PairCache, describe_cache
from glam_train.data.places import count_places
from glam_train.evaluation.goals import Goal

Json = dict[str, Any]
HIT_NAMES = {
    "mass": "masses",
    "lesion": "all findings",
    "tissue": "tissue, drawn evenly in the breast",
    "gland": "tissue that is mostly gland",
}
MARKED = re.compile(r"^<!-- (\w+): \S+ -->$.*?^<!-- /\1 -->$", re.MULTILINE | re.DOTALL)
"""A section that another command writes into the page: its name and program at the start, its name at the end."""
NOT_STATED = "What the model was told of places is not stated."
NOTICE = "A phantom figure says nothing about patients."
INTRODUCTION = f"""# Results

Written by `glam-train evaluate`. {NOTICE} Research use only, not for diagnosis.

Each figure is followed by its 95 % bootstrap interval (2,000 resamples of whole exams). hit@k: the share of places of
one view whose row, of nine, in the other view is among the k rows to which the composed attention map gives most
weight; both directions together. "Position only" is the best predictor that sees no image, from the cell of the query
to the row, fitted on the training phantoms: for masses on all of their findings, for gland on all of their tissue. A
model that has learnt nothing but where breasts lie scores as much. Where a model was told known places of its training
phantoms, its maps are measured on other phantoms, of the same kind: how they do without being told is another question.

A model that does not compare its views has no map, and "-" in place of every figure of places.

Mass against none is asked by whole reports with and without a mass (`glam/words/prompts.py`); a lone prompt such as "A
mass is present" is another question, and these figures do not answer it.
"""


def describe_bundle(bundle: Bundle) -> Json:
    """Return the name and version of a bundle, the SHA-256 of its vision graph, and the known places it was told.

    bundle.json itself comes to hold the figures, so that its own hash cannot be among them.
    """
    digest = hashlib.sha256((bundle.folder / "vision.onnx").read_bytes()).hexdigest()
    correspondence = bundle.provenance.get("correspondence")  # written by `glam-train provenance`, or by hand
    told = correspondence.get("told", NOT_STATED) if isinstance(correspondence, dict) else NOT_STATED
    return {"name": bundle.name, "version": bundle.version, "vision_sha256": digest, "told": told}


def results_json(figures: Figures, *, bundle: Json, exams: int, seed: int) -> Json:
    """Return the figures with the bundle, the exams, the goals, the commit, the machine and the date."""
    return {
        "bundle": bundle,
        "exams": exams,
        "seed": seed,
        "figures": asdict(figures),
        "goals": {name: goal.as_json() for name, goal in goals_of(asdict(figures)).items()},
        "commit": commit(),
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
        "notice": NOTICE,
    }


def goals_of(figures: Json) -> dict[str, Goal]:
    """Return the goals of the demo model, each with its name; a figure that is not there has no value."""
    hits = figures["hits"]
    ratio, low, *_ = (hits and hits["mass"]["hit_at_1"]["ratio"]) or (None, None)
    return {
        "density macro AUC": Goal((figures["density_macro_auc"] or [None])[0], 0.98),
        "hit@1 of masses over position only": Goal(ratio, 2.0),
        "lower end of its interval": Goal(low, 1.7),
        "mass AUC, that of the demo bundle 0.2.0": Goal((figures["mass_auc"] or [None])[0], 0.822),
    }


def labelled(figures: Json) -> Json:
    """Return figures with the numbers of each interval named."""
    return {name: _labelled(value) for name, value in figures.items()}


def undefined(figures: Json, within: str = "") -> list[str]:
    """Return the names of figures that the exams do not define."""
    parts = [undefined(value, f"{within}{name}.") for name, value in figures.items() if isinstance(value, dict)]
    return [f"{within}{name}" for name, value in figures.items() if value is None] + [
        one for part in parts for one in part
    ]


def _labelled(value: Any) -> Any:
    if isinstance(value, dict):
        return labelled(value)
    return value._asdict() if isinstance(value, Interval) else value


def check_phantoms(cache: PairCache, folder: Path) -> None:
    """Raise ValueError for a cache whose pairs are no phantoms."""
    if "tissue" not in count_places(cache.records):
        raise ValueError(f"the cache at {folder} holds no phantoms: give one of glam-train prepare-phantoms")


def check_trained_on(bundle: Bundle, cache: PairCache, folder: Path) -> None:
    """Raise ValueError for a bundle that has no maps, or was trained on other phantoms than those of the cache."""
    if bundle.model.alignment is None:
        raise ValueError(f"the bundle {bundle.name} does not compare its views: there are no maps to measure")
    data, own = bundle.provenance.get("data"), describe_cache(cache)["records_sha256"]
    trained = data.get("records_sha256") if isinstance(data, dict) and data.get("kind") == PHANTOMS else None
    if trained is None:
        sys.stderr.write(
            f"position alone is fitted on the phantoms of {folder}, which the bundle does not name as its data\n"
        )
    elif trained != own:
        raise ValueError(
            f"the bundle {bundle.name} was trained on phantoms with records {trained[:12]}, the cache at {folder} has "
            f"{own[:12]}: give the cache of its training"
        )


def results_page(results: Json) -> str:
    """Return docs/results.md."""
    figures, bundle = results["figures"], results["bundle"]
    lines = [
        INTRODUCTION,
        f"## The demo bundle `{bundle['name']}` {bundle['version']}",
        "",
        f"{results['exams']} phantom exams it never saw (seed {results['seed']}): {figures['num_breasts']} breasts, "
        f"{figures['num_with_mass']} of them with a mass. {results['date']}, {results['machine']}, "
        f"commit {results['commit'][:12]}, vision.onnx {bundle['vision_sha256'][:12]}.",
        "",
        bundle.get("told", NOT_STATED),
        "",
        "| zero-shot | AUC |",
        "| --- | --- |",
        f"| density a to d, macro | {_interval(figures['density_macro_auc'])} |",
        f"| mass against none | {_interval(figures['mass_auc'])} |",
        "",
        "| places | number | hit@1 | position only | ratio | hit@3 | position only |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *_hit_rows(figures["hits"]),
        "",
        "| goal | at least | measured | holds |",
        "| --- | --- | --- | --- |",
        *(_goal_row(name, goal) for name, goal in goals_of(figures).items()),
        "",
    ]
    return "\n".join(lines)


def _hit_rows(hits: Json | None) -> list[str]:
    """Return a row a kind of places; without figures for a model that does not compare its views."""
    if hits is None:
        return [f"| {name} |" + 6 * " - |" for name in HIT_NAMES.values()]
    return [_hit_row(HIT_NAMES[kind], of_kind) for kind, of_kind in hits.items()]


def _hit_row(name: str, hits: Json) -> str:
    first, third = hits["hit_at_1"], hits["hit_at_3"]
    cells = [first["model"], first["position_only"], first["ratio"], third["model"], third["position_only"]]
    return f"| {name} | {hits['points']} | " + " | ".join(_interval(cell) for cell in cells) + " |"


def _goal_row(name: str, goal: Goal) -> str:
    if goal.value is None:
        return f"| {name} | {goal.bound:g} | - | - |"
    return f"| {name} | {goal.bound:g} | {goal.value:.3f} | {'yes' if goal.holds else 'no'} |"


def _interval(interval: Any) -> str:
    """Return a cell of a table: - for a figure that the exams do not define."""
    if interval is None:
        return "-"
    value, low, high, *_ = interval
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def write_results(results: Json, *, out: Path, page: Path | None) -> None:
    """Write the JSON and, where asked, the page; sections between marks, which other commands write, stay."""
    out.write_text(json.dumps(results, indent=1) + "\n")
    if page is not None:
        kept = [mark.group() for mark in MARKED.finditer(page.read_text())] if page.exists() else []
        page.write_text("\n".join([results_page(results), *(f"{section}\n" for section in kept)]))


def check_outputs(out: Path, page: Path | None) -> None:
    """Raise ValueError, before hours of work, when a file to write is a folder or its folder is not there."""
    for path in filter(None, (out, page)):
        if path.is_dir():
            raise ValueError(f"{path} is a folder: give a file to write")
        if not path.parent.is_dir():
            raise ValueError(f"no folder {path.parent} to write {path.name} into: make it or give another path")


def read_results(path: Path) -> Json:
    """Return the JSON that `glam-train evaluate` wrote; ValueError for another file."""
    try:
        results = json_object(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is no file of glam-train evaluate: {error}") from error
    if "figures" not in results:
        raise ValueError(f"{path} is no file of glam-train evaluate: it has no figures")
    return results
