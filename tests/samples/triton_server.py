"""A real Triton Inference Server for as long as a block lasts, from the environment that `make triton-env` makes.

It is the server of the nvidia-pytriton wheel, which has no ONNX Runtime backend; `triton_backend` stands in for it.
"""

import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from glam.local_server import HOST, free_port

ENVIRONMENT = Path(os.environ.get("GLAM_TRITON_ENV", Path(__file__).parents[2] / ".venv-triton"))
ABSENT = "no Triton server here: make triton-env"
START_S = 90.0
STOP_S = 20.0


class TritonError(RuntimeError):
    """The server did not start; the message holds its log."""


@dataclass(kw_only=True)
class TritonServer:
    """A running server."""

    process: subprocess.Popen[bytes]
    http_port: int
    grpc_port: int
    metrics_port: int
    log: Path

    @property
    def http_url(self) -> str:
        return f"http://{HOST}:{self.http_port}"

    @property
    def grpc_url(self) -> str:
        return f"grpc://{HOST}:{self.grpc_port}"

    def stop(self) -> int:
        """End it as an operator would; return its exit status."""
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            return self.process.wait(STOP_S)
        finally:
            _kill(self.process)


def is_there() -> bool:
    """Say whether the server and its Python client are installed."""
    return (ENVIRONMENT / "bin" / "python").exists() and find_spec("tritonclient") is not None


@contextmanager
def triton_server(
    repository: Path, scratch: Path, *, http_port: int | None = None, grpc_port: int | None = None
) -> Iterator[TritonServer]:
    """Serve a model repository, ready; at the end none of its processes lives. TritonError when it does not start."""
    ports = [http_port or free_port(0), grpc_port or free_port(0), free_port(0)]
    scratch.mkdir(parents=True, exist_ok=True)
    log = scratch / "triton.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            _command(repository, _backends(scratch), ports),
            env=_environment(),
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = TritonServer(process=process, http_port=ports[0], grpc_port=ports[1], metrics_port=ports[2], log=log)
    try:
        _wait_until_ready(server)
        yield server
    finally:
        if process.poll() is None:
            server.stop()
        _kill(process)
        for block in Path("/dev/shm").glob(f"{_shared_memory(ports[0])}*"):
            block.unlink(missing_ok=True)


def _command(repository: Path, backends: Path, ports: list[int]) -> list[str]:
    options = {"model-repository": repository, "backend-directory": backends, "exit-timeout-secs": 5, "log-verbose": 0}
    for name, port in zip(("http", "grpc", "metrics"), ports, strict=True):
        options |= {f"{name}-port": port, f"{name}-address": HOST}
    shared = f"--backend-config=python,shm-region-prefix-name={_shared_memory(ports[0])}"
    return [str(_home() / "bin" / "tritonserver"), shared, *(f"--{name}={value}" for name, value in options.items())]


def _shared_memory(http_port: int) -> str:
    """How the names of a server's blocks of shared memory begin; one that is killed leaves them behind."""
    return f"glam-triton-{http_port}-"


def _site_packages() -> Path:
    return next((ENVIRONMENT / "lib").glob("python3.*")) / "site-packages"


def _home() -> Path:
    return _site_packages() / "pytriton" / "tritonserver"


def _backends(scratch: Path) -> Path:
    """Lay out what --backend-directory wants: the Python backend with the stub of this Python, and the stand-in."""
    backends = scratch / "backends"
    python = backends / "python"
    if not python.exists():
        python.mkdir(parents=True)
        version = _site_packages().parent.name.removeprefix("python")
        stub = _home() / "python_backend_stubs" / version / "triton_python_backend_stub"
        for file in [*(_home() / "backends" / "python").glob("*.*"), stub]:
            shutil.copy(file, python)  # a link would lead out of the folder, which Triton refuses
        shutil.copytree(Path(__file__).with_name("triton_backend"), backends, dirs_exist_ok=True)
    return backends


def _environment() -> dict[str, str]:
    """The stub finds its Python by PATH, and that Python's own library, not the system's, by LD_LIBRARY_PATH."""
    script = "import sysconfig; print(sysconfig.get_config_var('LIBDIR'))"
    command = [ENVIRONMENT / "bin" / "python", "-c", script]
    libraries = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return kept | {
        "PATH": f"{ENVIRONMENT / 'bin'}:{kept['PATH']}",
        "LD_LIBRARY_PATH": f"{_site_packages() / 'nvidia_pytriton.libs'}:{libraries}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "ORT_DISABLE_TELEMETRY": "1",
    }


def _wait_until_ready(server: TritonServer) -> None:
    deadline = time.monotonic() + START_S
    while server.process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{server.http_url}/v2/health/ready", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise TritonError(server.log.read_text(errors="replace"))


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Leave none of its processes, the stubs of its Python backend included."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
