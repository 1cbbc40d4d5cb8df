"""`glam predict | inspect | phantom`: JSON on stdout, what goes on on stderr."""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from glam.config import VoiPolicy

if TYPE_CHECKING:
    from glam.bundle import Bundle
    from glam.config import FrameConfig
    from glam.findings import Finding
    from glam.view import View, ViewKey


class UsageError(ValueError):
    """A command line that says too little or too much."""


EXTRAS = {"scipy": "phantom", "torch": "train", "timm": "train", "safetensors": "train"}
"""Third-party module -> the extra of glam-mammo that brings it; `predict` brings the others."""
MAX_DRAWN = 8
"""The files of an exam with its retakes; a picture has a row for each."""


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Answer for one breast without a server: prediction.json, attention.png and embeddings.npz in a folder.

    A model whose licence keeps embeddings on the machine writes them with --keep-local only.
    """

    files: tuple[Path, ...]
    """The DICOM file of the CC view, then that of the MLO view; or one file, of the view that its header names."""
    cc: Path | None = None
    """The CC view alone, whatever its header fails to say."""
    mlo: Path | None = None
    """The MLO view alone, whatever its header fails to say."""
    laterality: Literal["L", "R"] | None = None
    """Side of the breast, where the header does not say it."""
    spacing_mm: float | None = None
    """Pixel spacing in mm, where a file has none: of PNG, JPEG and TIFF pictures."""
    out: Path = Path("prediction")
    """Folder to write to."""
    bundle: Path | None = None
    """Folder that glam-export made. None: the demo bundle that comes with the package."""
    point: str | None = None
    """Where to ask in the picture: X,Y in pixels of the stored image. None: where attention is most concentrated."""
    point_view: Literal["cc", "mlo"] = "cc"
    """The view that `point` is in."""
    prompts: tuple[str, ...] = ()
    """Sentences to compare the breast with."""
    include: tuple[str, ...] = ("embedding", "attention", "frame", "findings")
    """Parts of prediction.json, of embedding, attention, frame, findings, pooling."""
    keep_local: bool = False
    """Write the embeddings though the model's licence keeps them on this machine: the files will not leave it."""
    runtime: Literal["onnx", "torch"] = "onnx"
    """What runs the model; torch needs `checkpoint`."""
    checkpoint: Path | None = None
    """Checkpoint that the bundle was exported from."""
    threads: int | None = None
    """Threads of the model. None: all cores."""
    variant: str | None = None
    """Graphs of the bundle to answer by: portable, fused, int8, fp16, bf16. None: fused where there, else portable."""

    def run(self) -> None:
        """Write the files, and print a summary."""
        from glam.bundle import DEMO_BUNDLE, read_bundle
        from glam.drawing.prediction import choose_query, draw_prediction
        from glam.loading import open_runtime, with_variant
        from glam.pair import prepare_breast
        from glam.predict import Predictor
        from glam.prediction_files import save_prediction, summary

        point = None if self.point is None else parse_point(self.point)
        self._check_include()
        self._check_files()
        bundle = with_variant(read_bundle(self.bundle or DEMO_BUNDLE), self.variant)
        runtime = open_runtime(bundle, self.runtime, threads=self.threads, checkpoint=self.checkpoint)
        predictor = Predictor(bundle, runtime, withholds=True)
        views = self._read_views(bundle.model.frame)
        breast = prepare_breast(bundle.model.frame, views.get("cc"), views.get("mlo"), prompts=self.prompts)
        prediction = predictor.answer(breast)
        query = choose_query(prediction, point=point, view=self.point_view)
        picture = draw_prediction(prediction, views, bundle, query=query)
        withheld = self._withheld(bundle)
        self.out.mkdir(parents=True, exist_ok=True)
        picture.save(self.out / "attention.png")
        embeddings = save_prediction(self.out, prediction, self.include, withheld=withheld)
        written = {"out": str(self.out), "embeddings": embeddings and str(embeddings)}
        print_json(summary(prediction, query, withheld=withheld) | written)

    def _withheld(self, bundle: "Bundle") -> "Finding | None":
        """Return why no embedding is written, and tell it on stderr, as one that is written and must stay here."""
        from glam.licence import withheld_embeddings

        way_out = "--keep-local writes them, to stay here"
        withheld = withheld_embeddings(may_share=bundle.may_share, stays_here=self.keep_local, way_out=way_out)
        if withheld is not None:
            sys.stderr.write(f"glam: {withheld.code}: {withheld.message}\n")
        elif not bundle.may_share:
            sys.stderr.write(f"glam: the embeddings in {self.out} must not leave this machine (may_share is false)\n")
        return withheld

    def _check_include(self) -> None:
        from glam.prediction import check_include

        try:
            check_include(self.include)
        except ValueError as error:
            raise UsageError(str(error)) from None

    def _check_files(self) -> None:
        named = sum(path is not None for path in (self.cc, self.mlo))
        if len(self.files) + named not in {1, 2} or (self.files and named):
            raise UsageError("give CC and MLO, or one file, or --cc FILE, or --mlo FILE")

    def _read_views(self, frame: "FrameConfig") -> "dict[ViewKey, View]":
        from glam.pair import read_breast
        from glam.reading.read import read_view

        if len(self.files) == 1:
            view = read_view(self.files[0], frame, laterality=self.laterality, spacing_mm=self.spacing_mm)
            return {"cc" if view.view == "CC" else "mlo": view}
        cc, mlo = self.files or (self.cc, self.mlo)
        return read_breast({"cc": cc, "mlo": mlo}, frame, laterality=self.laterality, spacing_mm=self.spacing_mm)


@dataclass(frozen=True, kw_only=True)
class Inspect:
    """Say what reading and preparing files found, and draw it. A file that cannot be used does not stop the others."""

    files: tuple[Path, ...]
    """DICOM files, of one view or of many."""
    view: Literal["CC", "MLO"] | None = None
    """The view, where a header does not say it."""
    laterality: Literal["L", "R"] | None = None
    """Side of the breast, where a header does not say it."""
    spacing_mm: float | None = None
    """Pixel spacing in mm, where a file has none."""
    bundle: Path | None = None
    """Folder that glam-export made: files are prepared as for its model. None: the demo bundle."""
    voi: VoiPolicy | None = None
    """Policy of grey values (docs/reading.md), to see what another one would make of the files. None: the bundle's."""
    png: Path | None = None
    """Picture to write, of up to 8 files: the image with breast, pectoral line, nipple, axis and square; the square."""

    def run(self) -> None:
        """Print what was found, of each file and of each breast; nothing of it is a value of the patient."""
        if not self.files:
            raise UsageError("name one DICOM file or more")
        self._check_png()
        from glam.bundle import DEMO_BUNDLE, read_bundle
        from glam.inspection import inspect_file, report, save_pictures
        from glam.reading.read import CallerFacts

        bundle = read_bundle(self.bundle or DEMO_BUNDLE, verify=False)
        asked = CallerFacts(view=self.view, laterality=self.laterality, spacing_mm=self.spacing_mm)
        frame, drawn = bundle.model.frame, self.png is not None
        if self.voi is not None:
            frame = replace(frame, voi=self.voi)
        outcomes = [(path, inspect_file(path, frame, asked, drawn=drawn)) for path in self.files]
        answer, refused = report(outcomes, bundle, frame)
        print_json(answer)
        if self.png is not None:
            save_pictures(self.png, outcomes)
        if refused:
            raise ValueError("\n".join([f"{len(refused)} of {len(outcomes)} files cannot be used", *refused]))

    def _check_png(self) -> None:
        """Refuse before any file is read what could not be drawn after it."""
        if self.png is not None and len(self.files) > MAX_DRAWN:
            raise UsageError(f"--png draws up to {MAX_DRAWN} files: name fewer, or leave it out")
        if self.png is not None and (self.png.suffix.lower() != ".png" or not self.png.parent.is_dir()):
            raise UsageError(f"--png {self.png} is not a .png file in a folder that exists")


@dataclass(frozen=True, kw_only=True)
class Phantom:
    """Draw synthetic exams: four DICOM files each, their reports, and where each lesion and some tissue points are."""

    out: Path = Path("phantoms")
    """Folder to write to."""
    exams: int = 1
    """Number of exams, of four views each."""
    seed: int = 0

    def run(self) -> None:
        """Write the exams, and print where the manifest is."""
        from glam.phantom.exam import write_exams

        manifest = write_exams(self.out, num_exams=self.exams, seed=self.seed)
        print_json({"manifest": str(manifest), "exams": self.exams, "seed": self.seed})


def parse_point(text: str) -> tuple[float, float]:
    """Return X,Y as numbers."""
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"point {text!r} is not X,Y in pixels") from None
    return x, y


def print_json(data: dict[str, Any]) -> None:
    """Print to stdout."""
    sys.stdout.write(json.dumps(data, indent=1, allow_nan=False) + "\n")


def main() -> None:
    """Run the command line: 2 for one that cannot be read, 1 for a run that fails."""
    try:
        parse_command().run()
    except (ValueError, OSError) as error:
        sys.stderr.write(f"glam: {said(error)}\n")
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except ModuleNotFoundError as error:
        sys.exit(f"glam: {missing_module(error)}")


def parse_command() -> Predict | Inspect | Phantom:
    """Return the command of sys.argv."""
    import tyro

    commands = {"predict": Predict, "inspect": Inspect, "phantom": Phantom}
    config = (tyro.conf.PositionalRequiredArgs,)
    return tyro.extras.subcommand_cli_from_dict(commands, prog="glam", description=__doc__, config=config)


def missing_module(error: ModuleNotFoundError, extra: str | None = None) -> str:
    """Say which extra brings a third-party module that is not installed; the error goes on when the module is ours."""
    module = (error.name or "").partition(".")[0]
    if not module or module.startswith("glam"):
        raise error
    return f'{module} is not installed: pip install "glam-mammo[{extra or EXTRAS.get(module, "predict")}]"'


def said(error: Exception) -> str:
    """Return one line about a failed run, with the code where there is one."""
    code = getattr(error, "code", None)
    return f"{code}: {error}" if code else str(error)


if __name__ == "__main__":
    main()
