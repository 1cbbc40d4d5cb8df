"""A bundle in a Triton server: the same numbers as in ONNX Runtime, and an error in time when no answer comes."""

import importlib.util
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from glam.bundle import Bundle
from glam.loading import open_runtime
from glam.predict import Predictor
from glam.runtime import EngineUnavailableError
from glam.triton.endpoint import parse_endpoint
from glam.triton.repository import model_version
from glam.triton.runtime import TritonRuntime
from tests.samples.triton_server import TritonServer, triton_server

pytestmark = pytest.mark.alone

PROTOCOLS = ("grpc", "http")
SIZE, WORDS = 126, 200


def url_of(server: TritonServer, protocol: str) -> str:
    return server.grpc_url if protocol == "grpc" else server.http_url


def images(num_images: int) -> np.ndarray:
    return np.random.default_rng(0).random((num_images, 1, SIZE, SIZE), dtype=np.float32)


def texts(num_texts: int, num_tokens: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    mask = np.arange(num_tokens) < rng.integers(2, num_tokens, size=(num_texts, 1), endpoint=True)
    return rng.integers(WORDS, size=mask.shape) * mask, mask.astype(np.int64)


def seconds_until_unavailable(runtime: TritonRuntime, match: str) -> float:
    start = time.monotonic()
    with pytest.raises(EngineUnavailableError, match=match) as raised:
        runtime.vision(images(1))
    assert raised.value.code == "engine_unavailable"
    return time.monotonic() - start


@contextmanager
def answering_with(content: bytes) -> Iterator[int]:
    """A port where something listens that is no Triton, and answers with these bytes."""

    def answer() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.recv(1 << 16)
            connection.sendall(content)
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def need_client() -> None:
    pytest.importorskip("tritonclient", reason="no Triton server here: make triton-env")


# Without a server


@pytest.mark.parametrize(
    ("url", "address", "is_loopback"),
    [
        ("grpc://127.0.0.1:8001", "127.0.0.1:8001", True),
        ("http://localhost:8000/", "localhost:8000", True),
        ("grpc://[::1]:8001", "[::1]:8001", True),
        ("http://triton:8000", "triton:8000", False),
        ("grpc://10.0.0.7:8001", "10.0.0.7:8001", False),
        ("http://127.0.0.1.example.com:80", "127.0.0.1.example.com:80", False),
        ("http://0.0.0.0:8000", "0.0.0.0:8000", False),
    ],
)
def test_an_address_has_a_protocol_a_host_and_a_port(url: str, address: str, is_loopback: bool):
    endpoint = parse_endpoint(url)
    assert (endpoint.address, endpoint.is_loopback) == (address, is_loopback)
    assert endpoint.url == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8001",
        "127.0.0.1:8001",
        "https://triton:8000",
        "grpc://triton",
        "http://triton:0",
        "http://triton:70000",
        "http://triton:port",
        "http://triton:8000/v2",
        "http://triton:8000?x=1",
        "http://name:word@triton:8000",
        "file:///etc",
    ],
)
def test_anything_else_is_refused_with_what_to_write(url: str):
    with pytest.raises(ValueError, match=r"is no address of a Triton server: write grpc://HOST:8001 or http://HOST"):
        parse_endpoint(url)


def test_the_version_of_a_model_is_a_positive_number_of_64_bits_made_of_the_bundles_hash():
    assert model_version("00" * 32) == "1"
    assert model_version("00000000000a" + "ff" * 26) == "11"
    assert 0 < int(model_version("ff" * 32)) < 2**63


def test_a_bundle_that_stays_on_this_machine_is_not_asked_of_another(kept_bundle: Bundle, need_client: None):
    assert open_runtime(kept_bundle, "triton", url="grpc://127.0.0.1:1")
    with pytest.raises(
        ValueError, match=r"keeps it on this machine, and grpc://triton:8001 may be another: run Triton"
    ):
        open_runtime(kept_bundle, "triton", url="grpc://triton:8001")


@pytest.mark.parametrize("permitted", ["may_serve", "may_share"])
def test_one_permission_of_the_two_is_not_enough(kept_bundle: Bundle, permitted: str, need_client: None):
    with pytest.raises(ValueError, match="keeps it on this machine"):
        TritonRuntime(replace(kept_bundle, **{permitted: True}), "grpc://triton:8001")


def test_triton_asks_for_its_url(random_bundle: Bundle):
    with pytest.raises(ValueError, match="needs the url of a Triton server"):
        open_runtime(random_bundle, "triton")


def test_a_missing_client_is_named_with_its_extra(random_bundle: Bundle, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r'pip install "glam-mammo\[triton\]"'):
        open_runtime(random_bundle, "triton", url="grpc://127.0.0.1:8001")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_where_nothing_listens_the_error_comes_at_once(random_bundle: Bundle, protocol: str, need_client: None):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    runtime = TritonRuntime(random_bundle, f"{protocol}://127.0.0.1:{port}")
    assert seconds_until_unavailable(runtime, "does not answer") < 5
    assert not runtime.is_ready()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_port_that_takes_and_never_answers_is_waited_for_no_longer_than_stated(
    random_bundle: Bundle, protocol: str, need_client: None
):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        runtime = TritonRuntime(random_bundle, f"{protocol}://127.0.0.1:{silent.getsockname()[1]}", timeout_s=1)
        assert seconds_until_unavailable(runtime, "does not answer") < 10


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\noops",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    ],
)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_no_triton_is_an_engine_that_is_not_there(
    random_bundle: Bundle, protocol: str, content: bytes, need_client: None
):
    with answering_with(content) as port:
        runtime = TritonRuntime(random_bundle, f"{protocol}://127.0.0.1:{port}", timeout_s=3)
        assert seconds_until_unavailable(runtime, "does not answer|does not serve|is of another bundle") < 10


# With a real server


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_views_pairs_and_texts_are_those_of_onnx_runtime(random_bundle: Bundle, triton: TritonServer, protocol: str):
    expected, runtime = (
        open_runtime(random_bundle, threads=1),
        open_runtime(random_bundle, "triton", url=url_of(triton, protocol)),
    )
    for batch in (1, 3, 8):
        views, views_expected = runtime.vision(images(2 * batch)), expected.vision(images(2 * batch))
        cc, mlo = views_expected.patches[:batch], views_expected.patches[batch:]
        answers = [*views, *runtime.align(cc, mlo), runtime.text(*texts(batch, 20))]
        references = [*views_expected, *expected.align(cc, mlo), expected.text(*texts(batch, 20))]
        for answer, reference in zip(answers, references, strict=True):
            assert answer.shape == reference.shape
            np.testing.assert_allclose(answer, reference, rtol=0, atol=1e-5)
            assert answer.dtype == np.float32


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_more_rows_than_triton_takes_at_a_time_go_in_parts(random_bundle: Bundle, triton: TritonServer, protocol: str):
    expected = open_runtime(random_bundle, threads=1)
    runtime = open_runtime(random_bundle, "triton", url=url_of(triton, protocol))
    np.testing.assert_allclose(
        runtime.vision(images(19)).embedding, expected.vision(images(19)).embedding, rtol=0, atol=1e-5
    )
    np.testing.assert_allclose(runtime.text(*texts(70, 5)), expected.text(*texts(70, 5)), rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_whole_prediction_is_that_of_onnx_runtime(
    predictor: Predictor, triton: TritonServer, protocol: str, mammograms: dict[str, Path]
):
    other = Predictor(predictor.bundle, open_runtime(predictor.bundle, "triton", url=url_of(triton, protocol)))
    files = {"cc": mammograms["L_CC"], "mlo": mammograms["L_MLO"]}
    answer, reference = (each.predict(**files, prompts=["a mass"]) for each in (other, predictor))
    for key in ("cc", "mlo"):
        np.testing.assert_allclose(answer.views[key].embedding, reference.views[key].embedding, rtol=0, atol=1e-5)
    assert answer.attention is not None
    assert reference.attention is not None
    np.testing.assert_allclose(answer.attention.cc_to_mlo, reference.attention.cc_to_mlo, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_wrong_shape_is_refused_with_the_right_one(random_bundle: Bundle, triton: TritonServer, protocol: str):
    runtime = open_runtime(random_bundle, "triton", url=url_of(triton, protocol))
    with pytest.raises(ValueError, match=r"refuses the request: .*Expected \[-1,1,126,126\], got \[2,1,126,100\]"):
        runtime.vision(images(2)[..., :100])
    with pytest.raises(ValueError, match=r"refuses the request: .*unexpected shape for input 'mask'|Expected"):
        runtime.text(np.ones((2, 3)), np.ones((2, 3, 1)))
    assert runtime.vision(images(1)).embedding.shape == (1, 16)  # it goes on


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_triton_with_another_bundle_is_not_asked(random_bundle: Bundle, triton: TritonServer, protocol: str):
    other = TritonRuntime(replace(random_bundle, sha256="ab" * 32), url_of(triton, protocol))
    seconds_until_unavailable(other, "does not serve this bundle: write its repository with glam-export triton")
    assert not other.is_ready()
    same_version = TritonRuntime(
        replace(random_bundle, sha256=random_bundle.sha256[:12] + "0" * 52), url_of(triton, protocol)
    )
    seconds_until_unavailable(same_version, "glam_vision at .* is of another bundle")


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_threads_that_ask_at_once_get_their_own_answers(random_bundle: Bundle, triton: TritonServer, protocol: str):
    runtime = open_runtime(random_bundle, "triton", url=url_of(triton, protocol))
    expected = open_runtime(random_bundle, threads=1).vision(images(16)).embedding
    answers: dict[int, np.ndarray] = {}

    def ask(number: int) -> None:
        answers[number] = runtime.vision(images(16)[number : number + 1]).embedding[0]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(16):
        np.testing.assert_allclose(answers[number], expected[number], rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_triton_that_freezes_or_dies_is_told_in_time_and_found_again(
    random_bundle: Bundle, triton_there: None, triton_repository: Path, tmp_path: Path
):
    with triton_server(triton_repository, tmp_path) as server:
        runtimes = [TritonRuntime(random_bundle, url_of(server, protocol), timeout_s=3) for protocol in PROTOCOLS]
        for runtime in runtimes:
            runtime.vision(images(1))
        os.killpg(server.process.pid, signal.SIGSTOP)
        for runtime in runtimes:
            assert seconds_until_unavailable(runtime, "does not answer") < 6
            assert seconds_until_unavailable(runtime, "does not answer") < 4, "the second asks for a sign of life"
            assert not runtime.is_ready()
        os.killpg(server.process.pid, signal.SIGCONT)
        for runtime in runtimes:
            assert runtime.vision(images(1)).embedding.shape == (1, 16)
        os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()
        for runtime in runtimes:
            assert seconds_until_unavailable(runtime, "does not answer") < 3
    ports = {"http_port": server.http_port, "grpc_port": server.grpc_port}
    with triton_server(triton_repository, tmp_path, **ports):
        for runtime in runtimes:
            assert runtime.is_ready()
            assert runtime.vision(images(1)).embedding.shape == (1, 16)
