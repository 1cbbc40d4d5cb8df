"""Whether the variants of a bundle's graphs are as near to them as their own entries in `bundle.json` demand."""

from pathlib import Path

from glam.bundle_files import BundleError
from glam.files import JsonDict

_COSINES = ("golden_cosine", "phantom_cosine")
_LOSSES = ("density_macro_auc", "mass_auc", "tissue_hit_at_1")


def check_variants(manifest: Path, variants: JsonDict, *, compares_views: bool) -> None:
    """BundleError for variants of a manifest of which one is farther from the bundle's own graphs than it may be.

    `compares_views`: whether the model has maps to be measured.
    """
    for name, entry in variants.items():
        try:
            failures = beyond_tolerance(name, entry, compares_views=compares_views)
        except (KeyError, TypeError, AttributeError) as error:
            message = f"{manifest} does not say how near variant {name} is ({type(error).__name__}: {error})"
            raise BundleError("bundle_unreadable", f"{message}: make it again with glam-export quantise") from error
        if failures:
            message = f"variant {name} in {manifest} is beyond its own tolerance: {', '.join(failures)}"
            raise BundleError("bundle_variant", f"{message}. Export the bundle again, and do not use this one")


def beyond_tolerance(variant: str, entry: JsonDict, *, compares_views: bool) -> list[str]:
    """Return what an entry of a manifest's `variants` records beyond its own tolerance; empty: it may be used.

    Every variant records its `parity`, and all but `fused`, which are other sums of the same numbers, an `accuracy`;
    int8 is measured on real files. NaN is beyond, and so is the error of a map that the model does not have. KeyError,
    TypeError or AttributeError for an entry of another form.
    """
    tolerance = entry["tolerance"]
    parity = entry["parity"]
    failures = _beyond_parity(parity, tolerance, _maps_hold(parity, tolerance, compares_views))
    if variant == "fused":
        return failures
    accuracy = entry["accuracy"]
    return failures + _beyond_accuracy(variant, accuracy, tolerance, _maps_hold(accuracy, tolerance, compares_views))


def _maps_hold(figures: JsonDict, tolerance: JsonDict, compares_views: bool) -> bool:
    error = figures["attention_max_abs"]
    return error <= tolerance["max_attention_error"] if compares_views else error is None


def _beyond_parity(parity: JsonDict, tolerance: JsonDict, maps_hold: bool) -> list[str]:
    holds = {
        "image_cosine": parity["image_cosine"] >= tolerance["min_cosine"],
        "text_cosine": parity["text_cosine"] >= tolerance["min_cosine"],
        "patches_max_abs": parity["patches_max_abs"] <= tolerance["max_patch_error"],
        "attention_max_abs": maps_hold,
    }
    return [f"parity {name} is {parity[name]}" for name, is_held in holds.items() if not is_held]


def _beyond_accuracy(variant: str, accuracy: JsonDict, tolerance: JsonDict, maps_hold: bool) -> list[str]:
    has_files = accuracy["files"] > 0 and accuracy["files_cosine"] is not None
    if variant == "int8" and not has_files:
        return ["it was measured on no real mammogram"]
    if not has_files and (accuracy["files"] > 0 or accuracy["files_cosine"] is not None):
        return [f"files is {accuracy['files']} and files_cosine {accuracy['files_cosine']}"]
    cosines = (*_COSINES, "files_cosine") if has_files else _COSINES
    holds = {name: accuracy[name] >= tolerance["min_cosine"] for name in cosines}
    holds["probabilities_max_abs"] = accuracy["probabilities_max_abs"] <= tolerance["max_probability_error"]
    holds["attention_max_abs"] = maps_hold
    holds |= {name: _loss(accuracy[name]) <= tolerance["max_loss"] for name in _LOSSES}
    return [f"{name} is {accuracy[name]}" for name, is_held in holds.items() if not is_held]


def _loss(change: JsonDict) -> float:
    """Return what a variant loses of a figure; 0 where the phantoms did not hold what it takes."""
    if change["portable"] is None or change["variant"] is None:
        return 0.0
    return change["portable"] - change["variant"]
