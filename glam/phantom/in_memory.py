"""A projection as the View that reading its DICOM file gives, without the file."""

from typing import TYPE_CHECKING

import numpy as np

from glam.phantom.dicom_file import STORED_BITS, Study, orientation_of, pixel_format, study_of
from glam.phantom.render import Projection

if TYPE_CHECKING:
    from glam.config import FrameConfig, VoiPolicy
    from glam.reading.tone import Tone
    from glam.view import View


def view_of(projection: Projection, config: "FrameConfig", study: Study | None = None) -> "View":
    """Return what `read_view` makes of the file that `write_dicom` writes; only the transfer syntax is "memory".

    Grey values follow the configuration's policy, as those of a file do.
    """
    from glam.findings import finding
    from glam.view import View

    study = study or study_of(projection.seed)
    grey = _grey_values(projection, config.voi)
    return View(
        pixels=grey.pixels,
        view=projection.view,
        laterality=projection.laterality,
        spacing_mm=(projection.px_mm, projection.px_mm),
        orientation=orientation_of(projection),
        provenance={
            "view": "ViewCodeSequence",
            "laterality": "ImageLaterality",
            "spacing_mm": "ImagerPixelSpacing",
            "voi": grey.voi,
            "transfer_syntax": "memory",
            "decoder": "native",
        },
        findings=tuple(map(finding, grey.codes)),
        patient_id=study.patient_id,
        study_uid=study.study_uid,
        voi=config.voi,
        exposed=grey.exposed,
    )


def _grey_values(projection: Projection, policy: "VoiPolicy") -> "Tone":
    """Return the display values of a projection under a policy.

    The window of the file shows all stored values, so that a policy which follows it needs no header and no pydicom.
    """
    from glam.reading.tone import tone, tone_of_table
    from glam.view import WHITE

    stored = projection.pixels.copy()  # it is overwritten
    if policy in ("header", "window"):
        patterns = np.arange(2**16, dtype=np.uint16)
        table = np.minimum(np.rint(patterns * (WHITE / (2**STORED_BITS - 1))), WHITE).astype(np.uint16)
        return tone_of_table(stored, table, np.zeros(2**16, np.bool_), voi="window LINEAR")
    from pydicom import Dataset

    from glam.reading.pixels import Layout

    dataset = Dataset()
    for keyword, value in pixel_format(projection).items():
        setattr(dataset, keyword, value)
    rows, cols = stored.shape
    layout = Layout(rows, cols, allocated=16, bits=STORED_BITS, high_bit=STORED_BITS - 1, signed=False)
    return tone(dataset, stored, layout, policy)
