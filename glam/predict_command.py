"""`glam predict`: an answer for a breast or for an exam without a server, as files in a folder.

Importing this costs nothing: what a run needs is imported when it runs.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from glam.bundle import Bundle
    from glam.config import FrameConfig
    from glam.drawing.prediction import Query
    from glam.findings import Finding
    from glam.predict import Predictor
    from glam.prediction import Prediction
    from glam.view import Side, View, ViewKey
    from glam.words.prompt_sets import PromptSet


PICTURES = ("attention.png", "attention_L.png", "attention_R.png")
"""What is drawn of a breast, or of the breasts of an exam."""


class UsageError(ValueError):
    """A command line that says too little or too much."""


class Drawn(NamedTuple):
    """A picture to be written: its file, and what is drawn of a breast."""

    name: str
    prediction: "Prediction"
    views: "Mapping[ViewKey, View]"
    query: "Query | None"


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Answer without a server: prediction.json, the picture of the attention and embeddings.npz in a folder.

    For a breast, or with --exam for a whole exam. A model whose licence keeps embeddings on the machine writes them
    with --keep-local only; one that does not compare views has no attention, and there is no picture.
    """

    files: tuple[Path, ...]
    """The DICOM file of the CC view, then that of the MLO view; or one file, of the view that its header names."""
    exam: tuple[Path, ...] = ()
    """One to eight DICOM files of one exam in any order, each used as its header says."""
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
    prompt_set: str | None = None
    """Class prompts (docs/prompts.md): the name of a set of this package, or a YAML file."""
    aggregation: Literal["probabilities", "embeddings"] = "probabilities"
    """What of two views is averaged."""
    include: tuple[str, ...] = ("embedding", "attention", "frame", "findings")
    """Parts of prediction.json, of embedding, attention, frame, findings, pooling, cells, maps."""
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
        from glam.loading import open_runtime, with_variant
        from glam.predict import Predictor

        point = None if self.point is None else parse_point(self.point)
        self._check_include()
        self._check_files()
        prompts = self._prompts()
        bundle = with_variant(read_bundle(self.bundle or DEMO_BUNDLE), self.variant)
        runtime = open_runtime(bundle, self.runtime, threads=self.threads, checkpoint=self.checkpoint)
        predictor = Predictor(bundle, runtime, withholds=True)
        if self.exam:
            self._answer_exam(predictor, prompts)
        else:
            self._answer_breast(predictor, prompts, point)

    def _answer_breast(
        self, predictor: "Predictor", prompts: "Sequence[str] | PromptSet", point: tuple[float, float] | None
    ) -> None:
        from glam.drawing.prediction import choose_query
        from glam.prediction_files import save_prediction, summary

        views = self._read_views(predictor.bundle.model.frame)
        prediction = predictor.predict(views.get("cc"), views.get("mlo"), prompts=prompts, aggregation=self.aggregation)
        query = choose_query(prediction, point=point, view=self.point_view)
        withheld = self._withheld(predictor.bundle)
        self.out.mkdir(parents=True, exist_ok=True)
        self._save_pictures(predictor.bundle, [Drawn("attention.png", prediction, views, query)])
        embeddings = save_prediction(self.out, prediction, self.include, withheld=withheld)
        written = {"out": str(self.out), "embeddings": embeddings and str(embeddings)}
        print_json(summary(prediction, query, withheld=withheld) | written)

    def _answer_exam(self, predictor: "Predictor", prompts: "Sequence[str] | PromptSet") -> None:
        from glam.drawing.prediction import choose_query
        from glam.prediction_files import exam_summary, save_exam, views_of_exam

        images = [self._view_or_path(path, predictor.bundle.model.frame) for path in self.exam]
        exam = predictor.predict_exam(images, spacing_mm=self.spacing_mm, prompts=prompts, aggregation=self.aggregation)
        withheld = self._withheld(predictor.bundle)
        self.out.mkdir(parents=True, exist_ok=True)
        queries: dict[Side, Query | None] = {side: choose_query(breast) for side, breast in exam.breasts.items()}
        drawn = [
            Drawn(f"attention_{side}.png", exam.breasts[side], views, queries[side])
            for side, views in views_of_exam(exam, images).items()
        ]
        self._save_pictures(predictor.bundle, drawn)
        embeddings = save_exam(self.out, exam, self.include, withheld=withheld)
        written = {"out": str(self.out), "embeddings": embeddings and str(embeddings)}
        print_json(exam_summary(exam, queries, withheld=withheld) | written)

    def _save_pictures(self, bundle: "Bundle", drawn: "Sequence[Drawn]") -> None:
        """Draw the views of breasts with their attention; say why there is no picture where the model has none.

        Then no picture of an earlier answer, of another model, stays beside this one.
        """
        from glam.drawing.prediction import draw_prediction

        if not bundle.model.compares_views:
            for name in PICTURES:
                (self.out / name).unlink(missing_ok=True)
            sys.stderr.write(
                f"glam: {bundle.name} does not compare views: there is no attention, and no picture of it\n"
            )
            return
        for name, prediction, views, query in drawn:
            draw_prediction(prediction, views, bundle, query=query).save(self.out / name)

    def _view_or_path(self, path: Path, frame: "FrameConfig") -> "View | Path":
        """Return the view of a file, or its path where it cannot be read: the exam leaves it out then and says why."""
        from glam.findings import InputError
        from glam.reading.read import read_view

        try:
            return read_view(path, frame, spacing_mm=self.spacing_mm)
        except InputError:
            return path

    def _prompts(self) -> "Sequence[str] | PromptSet":
        """Return the sentences or the prompt set that were asked for."""
        from glam.words.prompt_sets import packaged_sets, read_prompt_set

        if self.prompt_set is None:
            return self.prompts
        if self.prompts:
            raise UsageError("give either --prompts or --prompt-set")
        packaged = packaged_sets()
        if self.prompt_set in packaged:
            return packaged[self.prompt_set]
        path = Path(self.prompt_set)
        if not path.is_file():
            names = ", ".join(packaged)
            raise UsageError(f"--prompt-set {self.prompt_set} is neither a YAML file nor one of {names}")
        return read_prompt_set(path)

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
        if self.exam:
            if self.files or named or self.laterality or self.point:
                raise UsageError(
                    "--exam takes its files alone: their headers say view and side, and --point is of a breast"
                )
            return
        if len(self.files) + named not in {1, 2} or (self.files and named):
            raise UsageError("give CC and MLO, or one file, or --cc FILE, or --mlo FILE, or --exam FILES")

    def _read_views(self, frame: "FrameConfig") -> "dict[ViewKey, View]":
        from glam.pair import read_breast
        from glam.reading.read import read_view

        if len(self.files) == 1:
            view = read_view(self.files[0], frame, laterality=self.laterality, spacing_mm=self.spacing_mm)
            return {"cc" if view.view == "CC" else "mlo": view}
        cc, mlo = self.files or (self.cc, self.mlo)
        return read_breast({"cc": cc, "mlo": mlo}, frame, laterality=self.laterality, spacing_mm=self.spacing_mm)


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
