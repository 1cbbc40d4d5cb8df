"""glam-serve in front of a Triton server, as real processes."""

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from glam.bundle import Bundle
from glam.client import ServerError
from glam.local_server import free_port
from glam.runtime import EngineUnavailableError
from glam_serve.errors import FAULTS
from glam_serve.limits import Workers
from glam_serve.worker import GlamAPI, ModelRequest, Unanswered
from tests.samples.serving import START_S, RealServer, Serve
from tests.samples.triton_server import TritonServer, triton_server

pytestmark = pytest.mark.alone


def refusal(server: RealServer, source: Path) -> tuple[int, str, float]:
    """Status and code of an error, and how long it took."""
    start = time.monotonic()
    with pytest.raises(ServerError) as raised:
        server.client.predict(cc=source)
    return raised.value.status, raised.value.code, time.monotonic() - start


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
def test_a_bundle_that_stays_here_is_not_served_by_a_triton_elsewhere(kept_bundle: Bundle, serve: Serve):
    pytest.importorskip("tritonclient", reason="no Triton server here: make triton-env")
    server = serve("--runtime", "triton", "--triton-url", "grpc://triton:8001", bundle=kept_bundle, is_awaited=False)
    assert server.process.wait(START_S) == 1
    assert "keeps it on this machine, and grpc://triton:8001 may be another" in server.log.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_answers_through_triton_are_those_of_onnx_runtime(
    triton: TritonServer,
    serve: Serve,
    mammograms: dict[str, Path],
    protocol: str,
):
    through = serve("--runtime", "triton", "--triton-url", getattr(triton, f"{protocol}_url"))
    direct = serve()
    request = {"cc": mammograms["L_CC"], "mlo": mammograms["L_MLO"], "prompts": ["a mass", "no finding"]}
    answers = []
    for server in (through, direct):
        answers.append(server.client.predict(**request, include=["embedding", "attention", "frame"]).raw)
    for answer in answers:
        del answer["timings_ms"]  # the one part that is not of the model
    through_triton, of_onnx_runtime = map(numbers, answers)
    assert len(through_triton) == len(of_onnx_runtime) > 100
    np.testing.assert_allclose(through_triton, of_onnx_runtime, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_triton_that_is_late_or_gone_is_503_and_never_a_hang(
    triton_there: None,
    triton_repository: Path,
    serve: Serve,
    mammograms: dict[str, Path],
    tmp_path: Path,
):
    ports = {"http_port": free_port(0), "grpc_port": free_port(0)}
    url = f"grpc://127.0.0.1:{ports['grpc_port']}"
    server = serve("--runtime", "triton", "--triton-url", url, is_awaited=False)
    start = time.monotonic()
    while "engine_unavailable" not in server.log.read_text():
        assert time.monotonic() - start < START_S
        time.sleep(0.1)
    assert refusal(server, mammograms["L_CC"])[:2] == (503, "engine_unavailable")
    assert not server.client.is_ready()
    with triton_server(triton_repository, tmp_path / "triton", **ports) as triton:
        server.wait_until_ready()
        assert server.client.predict(cc=mammograms["L_CC"]).laterality == "L"
        os.killpg(triton.process.pid, signal.SIGSTOP)
        server.wait_for_status(503, 10)
        status, code, took_s = refusal(server, mammograms["L_CC"])
        assert (status, code) == (503, "engine_unavailable")
        assert took_s < 15, "it is known to be away: asked for a sign of life, and no more"
        os.killpg(triton.process.pid, signal.SIGCONT)
        server.wait_until_ready(20)
        os.killpg(triton.process.pid, signal.SIGKILL)
        server.wait_for_status(503, 20)
        assert refusal(server, mammograms["L_CC"])[:2] == (503, "engine_unavailable")
    with triton_server(triton_repository, tmp_path / "triton", **ports):
        server.wait_until_ready(20)
        assert server.client.predict(cc=mammograms["L_CC"]).laterality == "L"
    assert "Traceback" not in server.log.read_text()
