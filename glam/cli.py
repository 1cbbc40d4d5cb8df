"""`glam predict | inspect | phantom`: JSON on stdout, what goes on on stderr."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from glam.config import VoiPolicy
from glam.predict_command import Predict, UsageError, print_json

EXTRAS = {"scipy": "phantom", "torch": "train", "timm": "train", "safetensors": "train"}
"""Third-party module -> the extra of glam-mammo that brings it; `predict` brings the others."""
OPTIONS = {"ray": "ray", "fsspec": "s3", "s3fs": "s3"}
"""The same of modules that one option of a command needs, and not the command."""
MAX_DRAWN = 8
"""The files of an exam with its retakes; a picture has a row for each."""


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
    brings = OPTIONS.get(module) or extra or EXTRAS.get(module, "predict")
    return f'{module} is not installed: pip install "glam-mammo[{brings}]"'


def said(error: Exception) -> str:
    """Return one line about a failed run, with the code where there is one."""
    code = getattr(error, "code", None)
    return f"{code}: {error}" if code else str(error)


if __name__ == "__main__":
    main()
