"""What the model says of an item, as a row of the store."""

import json
from collections.abc import Mapping
from typing import Any

from glam.exam import ExamPrediction
from glam.prediction import ViewPrediction
from glam.store.schema import Level, Row
from glam_serve.cohort.items import Item, PreparedItem


def row_of(item: Item, prepared: PreparedItem, prediction: ExamPrediction, level: Level) -> Row:
    """Return the row of an item of which at least one image is used."""
    breasts = prediction.breasts
    answer = prediction if level == "exam" else next(iter(breasts.values()))
    views = {
        image_id: breasts[side].views["cc" if name == "CC" else "mlo"]
        for (side, name), image_id in sorted(prepared.used.items())  # left before right, CC before MLO
    }
    of_task = {"birads": answer.birads, "density": answer.density}
    return Row(
        key=item.key,
        patient_id=item.patient_id,
        embedding=answer.embedding,
        probabilities={f"{task}_{name}": value for task, classes in of_task.items() for name, value in classes.items()},
        calibrated=next(iter(breasts.values())).calibrated,
        images=list(views),
        left_out=prepared.left_out,
        missing=() if level == "image" else answer.missing,
        codes=_codes(prediction, views, level),
        frames=_json({image_id: view.frame.as_json() for image_id, view in views.items()}),
        landmarks=_json({image: view.input.anatomy and view.input.anatomy.as_json() for image, view in views.items()}),
        provenance=_json({image_id: view.provenance for image_id, view in views.items()}),
    )


def _codes(prediction: ExamPrediction, views: Mapping[str, ViewPrediction], level: Level) -> list[str]:
    """Return the codes of the views and, above the level of images, of what they are parts of."""
    findings = [finding for view in views.values() for finding in view.findings]
    if level != "image":
        findings += [finding for breast in prediction.breasts.values() for finding in breast.findings]
    if level == "exam":
        findings += prediction.findings
    return sorted({finding.code for finding in findings})


def _json(by_image: Mapping[str, Any]) -> str:
    return json.dumps(by_image, allow_nan=False, separators=(",", ":"))
