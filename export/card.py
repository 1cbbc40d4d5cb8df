"""The model card: bundle.json in the words a person reads before using it."""

from collections.abc import Iterator, Sequence

from glam.files import JsonDict
from glam.input_size import plain_size, rows_and_cols
from glam.licence import PUBLISHED, generations

_WHAT = """\
A GLAM bundle (Du, Chen, Dvornek, MICCAI 2025): CC and MLO mammograms of a breast to embeddings, zero-shot classes and
the attention between the views."""
_WHAT_WITHOUT_MAPS = """\
A bundle of GLAM's software: CC and MLO mammograms of a breast to embeddings and zero-shot classes. The model does not
compare the views: it has no attention."""
_INTENDED_USE = """\
## Intended use
Research on embeddings, zero-shot classes and correspondence of the CC and the MLO view of one breast, by those who can
check an answer against the images. Not intended: diagnosis, triage or any decision about a patient; images that are no
mammograms, or of another kind than those of the cohort below.
"""
_LIMITS = """\
## Limits
Research use only, not for diagnosis. Figures measured on synthetic phantoms say nothing about patients.
Probabilities are zero-shot and {calibrated}.
{cohort}
"""
_OF_COHORT = ("patients", "exams", "breasts", "years", "vendors", "sites", "image_types", "race", "density", "birads")
"""What a reviewer asks of a cohort, as `glam-train` counts it."""


def model_card(manifest: JsonDict) -> str:
    """Return Markdown: what the bundle is, what its model saw, what is permitted, how it was measured."""
    sections = (
        _head(manifest),
        _INTENDED_USE,
        _cohort(manifest["provenance"]),
        *_generations(manifest["provenance"]),
        _licence_chain(manifest["provenance"]),
        _permissions(manifest),
        _table("Figures", dict(_figures(manifest["metrics"])) or {"none": "nothing was measured"}),
        _classes(manifest["prompts"]["texts"], manifest["classes"]),
        _graphs(manifest),
        *(_variant(name, entry) for name, entry in manifest.get("variants", {}).items()),
        _limits(manifest),
    )
    return "\n".join(sections)


def _head(manifest: JsonDict) -> str:
    model = manifest["model"]
    vision, text = model["vision"], model["text"]
    rows, cols = rows_and_cols(plain_size(vision["image_size"]))
    return f"""\
# {manifest["name"]} {manifest["version"]}
{_WHAT if model["alignment"] else _WHAT_WITHOUT_MAPS} {manifest["notice"].capitalize()}.

Input: {rows} x {cols} px in patches of {vision["patch_size"]} px.
Towers: {vision["depth"]} vision blocks of width {vision["embed_dim"]}, {text["depth"]} text blocks of width \
{text["hidden_dim"]}. Embeddings: {model["joint_dim"]} numbers.
"""


def _cohort(provenance: JsonDict) -> str:
    """Return a table of whom the model was trained on; "not stated" where the provenance does not say."""
    counts = _stated_cohort(provenance)
    if not counts and provenance.get("synthetic"):
        pairs = _data(provenance).get("pairs", "not stated")
        return _table("Cohort", {"patients": "none: synthetic phantoms", "breasts": pairs})
    rows: JsonDict = {name: counts.get(name, "not stated") for name in _OF_COHORT}
    percentiles = counts.get("age_percentiles_5_50_95")
    rows["age (5th, 50th, 95th percentile)"] = percentiles or "not stated"
    return _table("Cohort", rows)


def _stated_cohort(provenance: JsonDict) -> JsonDict:
    counts = _data(provenance).get("cohort")
    return counts if isinstance(counts, dict) else {}


def _data(provenance: JsonDict) -> JsonDict:
    data = provenance.get("data")
    return data if isinstance(data, dict) else {}


def _licence_chain(provenance: JsonDict) -> str:
    """Return the licence of each training behind the weights, the newest first."""
    lines = [
        f"{number}. {'this training' if number == 1 else 'what it started from'}: "
        f"{_cell(generation.get('licence') or 'unknown')}"
        for number, generation in enumerate(generations(provenance), start=1)
    ]
    return "## Licence chain\nThe strictest of them decides what is permitted.\n\n" + "\n".join(lines) + "\n"


def _figures(metrics: JsonDict, within: str = "") -> Iterator[tuple[str, object]]:
    """Yield each figure by its full name, with its interval where it was measured with one."""
    for name, value in metrics.items():
        if isinstance(value, dict):
            yield from _figures(value, f"{within}{name} ")
        elif isinstance(value, list) and len(value) >= 3 and all(isinstance(number, int | float) for number in value):
            yield f"{within}{name}", f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"
        else:
            yield f"{within}{name}", "-" if value is None else value


def _limits(manifest: JsonDict) -> str:
    """Return the limits, those of the cohort among them."""
    provenance = manifest["provenance"]
    counts = _stated_cohort(provenance)
    missing = [name for name in _OF_COHORT if not counts.get(name) or set(_names(counts[name])) == {"unknown"}]
    told = "It saw no patient." if provenance.get("synthetic") and not counts else ""
    if not told and missing:
        told = f"Not known of its cohort: {', '.join(missing)}; how it does on any part of it was not measured."
    calibrated = "calibrated" if manifest["calibration"] else "not calibrated"
    return _LIMITS.format(calibrated=calibrated, cohort=told or "It was not measured beyond the cohort above.")


def _names(counts: object) -> list[str]:
    return list(counts) if isinstance(counts, dict) else [str(counts)]


def _generations(provenance: JsonDict) -> list[str]:
    """Return a table of what the model saw, and one of each checkpoint that it started from."""
    tables: list[str] = []
    for number, generation in enumerate(generations(provenance)):
        title = "What the model saw" if number == 0 else f"What it started from, {number} back"
        rows = {key: value for key, value in generation.items() if key != "start_from"} or {"data": "not stated"}
        if isinstance(rows.get("data"), dict):  # its cohort has a table of its own
            rows["data"] = {key: value for key, value in rows["data"].items() if key != "cohort"}
        if generation.get("start_from") is None:
            rows["start_from"] = _beginning(generation)
        tables.append(_table(title, rows))
    return tables


def _beginning(generation: JsonDict) -> str:
    """Return what a generation without a recorded one before it started from."""
    data = generation.get("data")
    if isinstance(data, dict) and data.get("kind") == PUBLISHED:
        return "not known: published by others"
    known = "start_from" in generation and "start_from" not in generation.get("stated_by_exporter", ())
    return "random weights" if known else "not known"


def _permissions(manifest: JsonDict) -> str:
    serve = "may be served to others" if manifest["may_serve"] else "is served on the loopback interface only"
    share = "may be shared" if manifest["may_share"] else "are not to be shared"
    return f"## Permissions\nThe model {serve}; its embeddings {share}.\n"


def _classes(texts: JsonDict, classes: JsonDict) -> str:
    lines = [
        f"- {task} {name}: {_told(sentences)}"
        for task in texts
        for name, sentences in zip(classes[task], texts[task], strict=True)
    ]
    return "## Class prompts\n" + "\n".join(lines) + "\n"


def _graphs(manifest: JsonDict) -> str:
    export = manifest["export"]
    rows = {"ONNX opset": export["opset"], "weights": export["weights"]} | _parity(export["parity"])
    rows |= export["versions"]
    return _table("Graphs", rows)


def _variant(name: str, entry: JsonDict) -> str:
    """Return how a variant's graphs were made, and how far their answers are from those of the bundle's own."""
    rows = {"graphs": entry["graphs"], "made": entry["made"]} | _parity(entry["parity"])
    for figure, value in entry.get("accuracy", {}).items():
        measured = value is not None and value != {"portable": None, "variant": None}
        rows[figure] = value if measured else "not measured"
    return _table(f"Variant {name}", rows | {"tolerance": entry["tolerance"]})


def _parity(parity: JsonDict) -> JsonDict:
    """Return the figures that there are: without an alignment module there is no error of its maps."""
    return {figure: value for figure, value in parity.items() if value is not None}


def _table(title: str, values: JsonDict) -> str:
    rows = "\n".join(f"| {key} | {_cell(value)} |" for key, value in values.items())
    return f"## {title}\n| | |\n| --- | --- |\n{rows}\n"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return "; ".join(f"{key} {_cell(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value))
    return str(value).replace("|", "\\|").replace("\n", " ")


def _told(texts: Sequence[str]) -> str:
    """The text of a class, or the first of the reports that are averaged."""
    return texts[0] if len(texts) == 1 else f"the mean of {len(texts)} reports, the first: {texts[0]}"
