"""glam-serve in front of a Triton server, as real processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from glam.bundle import Bundle
from glam.client import Client, ServerError
from glam.runtime import EngineUnavailableError
from glam_serve.api import GlamAPI, ModelRequest, Unanswered
from glam_serve.errors import FAULTS
from glam_serve.limits import Workers
from glam_serve.local import free_port, stop
from tests.samples.triton_server import TritonServer, triton_server

START_S = 120.0


class Server:
    """A running glam-serve."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process, self.log = process, log
        self.client = Client(url=f"http://127.0.0.1:{port}", timeout_s=90)

    def wait(self, *, ready: bool = True, limit_s: float = START_S) -> None:
        """Return once /readyz says so."""
        start = time.monotonic()
        while self.client.is_ready() != ready:
            assert time.monotonic() - start < limit_s, self.log.read_text()
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.1)

    def refusal(self, source: Path) -> tuple[int, str, float]:
        """Status and code of an error, and how long it took."""
        start = time.monotonic()
        with pytest.raises(ServerError) as raised:
            self.client.predict(cc=source)
        return raised.value.status, raised.value.code, time.monotonic() - start


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers; at the end none lives."""
    started: list[subprocess.Popen[bytes]] = []

    def start(bundle: Bundle, *options: str) -> Server:
        port, log = free_port(0), tmp_path / f"log-{len(started)}"
        command = [sys.executable, "-m", "glam_serve.cli", "run", "--bundle", str(bundle.folder), "--port", str(port)]
        with log.open("wb") as stream:
            process = subprocess.Popen([*command, *options], stdout=stream, stderr=stream, start_new_session=True)
        started.append(process)
        return Server(process, port, log)

    yield start
    for process in started:
        if process.poll() is None:
            stop(process)


def numbers(value: object) -> list[float]:
    """All numbers of an answer, in its order."""
    if isinstance(value, dict):
        return [number for entry in value.values() for number in numbers(entry)]
    if isinstance(value, list):
        return [number for entry in value for number in numbers(entry)]
    return [value] if isinstance(value, float) else []


def test_an_engine_that_is_away_is_told_once_a_request_and_not_asked_again():
    calls = []

    def away(images: np.ndarray) -> None:
        calls.append(len(images))
        raise EngineUnavailableError("Triton does not answer")

    worker = SimpleNamespace(runtime=SimpleNamespace(vision=away))
    requests = [ModelRequest(breasts=({"cc": np.zeros((4, 4), np.float32)},)) for _ in range(3)]
    assert GlamAPI._answer_all(worker, requests) == [Unanswered(code="engine_unavailable")] * 3
    assert len(calls) == 1
    assert FAULTS["engine_unavailable"].status == 503


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runtime": "triton"}, "needs --triton-url"),
        ({"triton_url": "grpc://127.0.0.1:8001"}, "goes with --runtime triton"),
        ({"runtime": "triton", "triton_url": "127.0.0.1:8001"}, "write grpc://HOST:8001"),
    ],
)
def test_runtime_and_url_go_together(options: dict[str, str], message: str):
    with pytest.raises(ValueError, match=message):
        Workers(**options)


@pytest.mark.slow
def test_a_bundle_that_stays_here_is_not_served_by_a_triton_elsewhere(
    kept_bundle: Bundle, serve: Callable[..., Server]
):
    pytest.importorskip("tritonclient", reason="no Triton server here: make triton-env")
    server = serve(kept_bundle, "--runtime", "triton", "--triton-url", "grpc://triton:8001")
    assert server.process.wait(START_S) == 1
    assert "keeps it on this machine, and grpc://triton:8001 may be another" in server.log.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_answers_through_triton_are_those_of_onnx_runtime(
    random_bundle: Bundle,
    triton: TritonServer,
    serve: Callable[..., Server],
    mammograms: dict[str, Path],
    protocol: str,
):
    through = serve(random_bundle, "--runtime", "triton", "--triton-url", getattr(triton, f"{protocol}_url"))
    direct = serve(random_bundle, "--threads", "1")
    request = {"cc": mammograms["L_CC"], "mlo": mammograms["L_MLO"], "prompts": ["a mass", "no finding"]}
    answers = []
    for server in (through, direct):
        server.wait()
        answers.append(server.client.predict(**request, include=["embedding", "attention", "frame"]).raw)
    for answer in answers:
        del answer["timings_ms"]  # the one part that is not of the model
    through_triton, of_onnx_runtime = map(numbers, answers)
    assert len(through_triton) == len(of_onnx_runtime) > 100
    np.testing.assert_allclose(through_triton, of_onnx_runtime, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_triton_that_is_late_or_gone_is_503_and_never_a_hang(
    random_bundle: Bundle,
    triton_there: None,
    triton_repository: Path,
    serve: Callable[..., Server],
    mammograms: dict[str, Path],
    tmp_path: Path,
):
    ports = {"http_port": free_port(0), "grpc_port": free_port(0)}
    server = serve(random_bundle, "--runtime", "triton", "--triton-url", f"grpc://127.0.0.1:{ports['grpc_port']}")
    start = time.monotonic()
    while "engine_unavailable" not in server.log.read_text():
        assert time.monotonic() - start < START_S
        time.sleep(0.1)
    assert server.refusal(mammograms["L_CC"])[:2] == (503, "engine_unavailable")
    assert not server.client.is_ready()
    with triton_server(triton_repository, tmp_path / "triton", **ports) as triton:
        server.wait()
        assert server.client.predict(cc=mammograms["L_CC"]).laterality == "L"
        os.killpg(triton.process.pid, signal.SIGSTOP)
        server.wait(ready=False, limit_s=10)
        status, code, took_s = server.refusal(mammograms["L_CC"])
        assert (status, code) == (503, "engine_unavailable")
        assert took_s < 15, "it is known to be away: asked for a sign of life, and no more"
        os.killpg(triton.process.pid, signal.SIGCONT)
        server.wait(limit_s=20)
        os.killpg(triton.process.pid, signal.SIGKILL)
        server.wait(ready=False, limit_s=20)
        assert server.refusal(mammograms["L_CC"])[:2] == (503, "engine_unavailable")
    with triton_server(triton_repository, tmp_path / "triton", **ports):
        server.wait(limit_s=20)
        assert server.client.predict(cc=mammograms["L_CC"]).laterality == "L"
    assert "Traceback" not in server.log.read_text()
