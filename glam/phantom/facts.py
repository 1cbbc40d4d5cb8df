"""What a report says of a phantom: its truth in the words of `glam.words.report`."""

from glam.phantom.options import ViewName
from glam.phantom.truth import BreastTruth, LesionTruth
from glam.words.facts import Lesion, ReportFacts
from glam.words.wording import SCREENING_PROCEDURE, SCREENING_REASON


def report_facts(truth: BreastTruth, view: ViewName, *, age: int | None = None) -> ReportFacts:
    """Return the facts of the report of one view, with the screening assessment 0, 1 or 2."""
    return ReportFacts(
        procedure=SCREENING_PROCEDURE,
        reason=SCREENING_REASON,
        age=age,
        image_type="2D",
        laterality=truth.laterality,
        view=view,
        density=truth.density,
        birads=truth.birads_screening,
        lesions=tuple(report_lesion(lesion, view) for lesion in truth.lesions),
    )


def report_lesion(lesion: LesionTruth, view: ViewName) -> Lesion:
    """Return a lesion as a finding: its words, its quadrant, its size, and its depth in one view."""
    return Lesion(
        kind=lesion.kind,
        shape=lesion.shape,
        margin=lesion.margin,
        density=lesion.density,
        calc_type=lesion.calc_type,
        distribution=lesion.distribution,
        depth=lesion.views[view].depth,
        location=lesion.quadrant,
        size_mm=round(lesion.size_mm),
    )
