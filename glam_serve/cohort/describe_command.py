"""`glam-embed describe`: what a store holds, in numbers, in a picture, and the rows that are unlike all others."""

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glam.predict_command import UsageError, print_json

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL import Image

    from glam.store.survey import Survey

PICTURE_TITLES = {"density": "Density", "birads": "BI-RADS", "image_type": "Kind of image"}

COUNTED = ("density", "image_type")
"""Counts whose names a column of text has too: readers' density stands beside the model's."""
LIKELIEST = "Classes are the likeliest ones that the model gives, not findings of a reader."


@dataclass(frozen=True, kw_only=True)
class Describe:
    """Say what a store holds: counts, and the rows unlike all others, as JSON on stdout; a picture and a page."""

    store: Path
    """Folder that `glam-embed run` made."""
    out: Path | None = None
    """Folder for describe.json, describe.png and describe.html. None: JSON on stdout alone."""
    manifest: Path | None = None
    """Manifest of the store's images, whose column --by is counted and drawn too: stores do not keep it."""
    by: str = "manufacturer"
    """Column of text of --manifest."""
    odd: int = 20
    """How many rows that are unlike all others are listed at the most."""

    def run(self) -> int:
        """Print the description, and write it."""
        if self.odd < 0:
            raise UsageError(f"--odd {self.odd} is below 0")
        from glam.store.planned import ids_are_paths, read_plan
        from glam.store.survey import survey

        name = f"{self.by} of the manifest" if self.by in COUNTED else self.by
        labels = {} if self.manifest is None else {name: column_of(self.store, self.manifest, self.by)}
        found = survey(self.store, labels, most_odd=self.odd)
        told = told_of(found, list(labels))
        if self.out is not None:
            plan = read_plan(self.store, ["image_id", "path"])
            write_description(found, told, self.out, names_images=plan is None or not ids_are_paths(plan))
            sys.stderr.write(f"glam-embed: {self.out / 'describe.html'} shows it\n")
        print_json(told)
        return 0


def column_of(store: Path, manifest: Path, name: str) -> "pa.Array":
    """Return a column of a manifest for every image of a store's plan, "" where the manifest does not have it.

    UsageError where it has no such column of text, or none of the images.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from glam.manifest.rules import COLUMNS
    from glam.manifest.table import read_manifest
    from glam.store.planned import read_plan

    texts = [column.name for column in COLUMNS if column.kind == "text" and column.name != "path"]
    if name not in texts:
        raise UsageError(f"--by {name} is no column of text of a manifest: {', '.join(texts)}")
    plan, cells = read_plan(store, ["image_id"]), read_manifest(manifest)
    if plan is None:
        return pa.array([], pa.string())
    ids = pa.array(cells["image_id"].tolist(), pa.string())
    places = pc.call_function("index_in", [plan.column("image_id").combine_chunks()], pc.SetLookupOptions(ids))
    if places.null_count == len(places):
        raise UsageError(f"{manifest} has none of the images of {store}: give the manifest that it was made from")
    return pa.array(cells[name].tolist(), pa.string()).take(places).fill_null("")


def told_of(found: "Survey", columns: list[str]) -> dict[str, Any]:
    """Return JSON types of a survey. `columns`: of the manifest, that rows were counted by."""
    from glam.store.survey import MOST_Z

    facts, picture = found.run.facts, found.picture
    return {
        "level": found.run.config.level,
        "rows": found.rows,
        "patients": found.patients,
        "bundle": {"name": facts.bundle_name, "version": facts.bundle_version, "sha256": found.run.config.bundle},
        "calibrated_rows": found.calibrated,
        "counts": found.counts,
        "picture": {
            "rows": len(picture.points),
            "axes": "principal components of the embeddings",
            "share_of_variance": [round(share, 4) for share in picture.shares],
            "coloured_by": _drawn(found, columns),
        },
        "odd": {
            "explained": _odd_in_words(found),
            "neighbours": found.neighbours,
            "median_distance": None if found.median is None else round(found.median, 6),
            "most_z": MOST_Z,
            "beyond": found.num_odd,
            "rows": [row.cells | {"distance": row.distance, "z": row.z} for row in found.odd],
        },
        "in_words": _in_words(found),
        "may_share": facts.may_share,
        "notice": facts.notice,
    }


def write_description(found: "Survey", told: dict[str, Any], out: Path, *, names_images: bool) -> None:
    """Write describe.json, describe.png and describe.html into a folder, each whole or not at all.

    `names_images`: whether the page, which others may be shown, has the ids of rows that are images.
    """
    from glam.files import replacing
    from glam_serve.cohort.describe_page import page_of

    out.mkdir(parents=True, exist_ok=True)
    png = io.BytesIO()
    picture_of(found, told).save(png, "PNG")
    files = {
        "describe.png": png.getvalue(),
        "describe.html": page_of(told, png.getvalue(), names_images=names_images).encode(),
    }
    for name, content in (files | {"describe.json": _json(told)}).items():
        with replacing(out / name) as scratch:
            scratch.write_bytes(content)


def picture_of(found: "Survey", told: dict[str, Any]) -> "Image.Image":
    """Draw the sample on two axes, once for each of what it is coloured by."""
    from glam.drawing.scatter import Grouping, draw_scatter

    classes, picture = found.run.facts.classes, found.picture
    state = _state(found)
    groupings = [
        Grouping(
            title=f"{PICTURE_TITLES.get(name) or name.capitalize()}{f', {state}' if name in classes else ''}",
            groups=picture.groups[name],
            order=classes.get(name),
        )
        for name in told["picture"]["coloured_by"]
    ]
    shares = " and ".join(f"{100 * share:.0f} %" for share in picture.shares)
    sample = "" if len(picture.points) == found.rows else f" {len(picture.points):,} of {found.rows:,} rows, by chance."
    notes = [
        f"Axes: the first two principal components of the embeddings, with {shares} of their variance.{sample}",
        f"Rings: {len(found.odd)} of {found.num_odd} rows that are unlike all others.",
        LIKELIEST,
    ]
    title = f"{found.rows:,} rows, one {told['level']} each"
    return draw_scatter(picture.points, groupings, title=title, notes=notes, rings=picture.odd_points)


def _drawn(found: "Survey", columns: list[str]) -> list[str]:
    """Return what panels are coloured by; the kind of image where no column of a manifest was given."""
    names = [*(name for name in ("density", "birads") if name in found.picture.groups)]
    return names + (columns or ["image_type"])


def _state(found: "Survey") -> str:
    if found.calibrated == found.rows:
        return "calibrated"
    return "not calibrated" if not found.calibrated else f"{found.calibrated:,} rows calibrated"


def _in_words(found: "Survey") -> list[str]:
    facts, config = found.run.facts, found.run.config
    lines = [
        f"{found.rows:,} rows, one {config.level} each, of {found.patients:,} patients.",
        f"Bundle {facts.bundle_name} {facts.bundle_version}, {config.bundle[:12]}; embeddings of {facts.dim} numbers.",
        f"Probabilities are {_state(found)}. {LIKELIEST}",
    ]
    stays = "The bundle's licence keeps the embeddings on this machine; this page has none of them, but their two axes."
    return lines if facts.may_share else [*lines, stays]


def _odd_in_words(found: "Survey") -> str:
    from glam.store.survey import MOST_Z

    if found.median is None:
        return "No row has another patient's beside it, so that none can be called odd."
    sampled = "" if len(found.picture.points) == found.rows else f" among {len(found.picture.points):,} rows by chance"
    return (
        f"The distance of a row is the mean of 1 - cosine to its {found.neighbours} nearest rows of other patients"
        f"{sampled}; z counts robust standard deviations from the median, and {found.num_odd:,} rows are beyond"
        f" {MOST_Z:g}."
    )


def _json(told: dict[str, Any]) -> bytes:
    import json

    return (json.dumps(told, indent=1, allow_nan=False) + "\n").encode()
