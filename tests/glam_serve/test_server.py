"""A real server process on a free port, asked over HTTP, and ended with SIGTERM."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from glam.bundle import Bundle
from glam.client import Client, ServerError
from glam.config import FrameConfig
from glam.local_server import group_lives
from glam.predict import Predictor
from glam.prediction import INCLUDES
from glam.reading.read import read_view
from glam_serve.demo import real_pair

READY_S = 120.0


class Running(NamedTuple):
    """A server, and what it writes."""

    client: Client
    process: subprocess.Popen[bytes]
    out: Path
    log: Path


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def start(folder: Path, bundle: Path, *options: str) -> Running:
    """The command in a process group of its own."""
    port = free_port()
    command = [sys.executable, "-m", "glam_serve.cli", "run", "--bundle", str(bundle), "--port", str(port)]
    out, log = folder / "stdout", folder / "stderr"
    with out.open("wb") as stdout, log.open("wb") as stderr:
        process = subprocess.Popen(
            [*command, *options], stdout=stdout, stderr=stderr, start_new_session=True, cwd=folder
        )
    return Running(Client(url=f"http://127.0.0.1:{port}"), process, out, log)


def wait_for_the_end_of(group: int) -> None:
    deadline = time.monotonic() + 10
    while group_lives(group) and time.monotonic() < deadline:
        time.sleep(0.05)


@pytest.fixture(scope="module")
def server(random_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = start(
        tmp_path_factory.mktemp("server"), random_bundle.folder, "--threads", "1", "--limits.max-upload-mb", "32"
    )
    deadline = time.monotonic() + READY_S
    while not running.client.is_ready() and running.process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    yield running
    if group_lives(running.process.pid):
        os.killpg(running.process.pid, signal.SIGKILL)
    running.process.wait()


def code_of(ask, **request) -> tuple[int, str, str]:
    with pytest.raises(ServerError) as error:
        ask(**request)
    return error.value.status, error.value.code, error.value.where


def test_the_server_answers_as_the_predictor_does(server: Running, predictor: Predictor, mammograms: dict[str, Path]):
    files = {"cc": mammograms["L_CC"], "mlo": mammograms["L_MLO"]}
    served = server.client.predict(**files, prompts=["a zebra", "dense"], include=INCLUDES).raw
    views = {key: read_view(path, FrameConfig()) for key, path in files.items()}
    expected = predictor.predict(views["cc"], views["mlo"], prompts=["a zebra", "dense"]).as_json(INCLUDES)
    assert served.keys() == expected.keys() | {"result_id", "timings_ms"}
    np.testing.assert_allclose(served["embedding"], expected["embedding"], atol=1e-5)
    for direction in ("cc_to_mlo", "mlo_to_cc"):
        np.testing.assert_allclose(served["attention"][direction], expected["attention"][direction], atol=1e-4)
    assert served["density"] == pytest.approx(expected["density"], abs=1e-5)
    assert served["birads"] == pytest.approx(expected["birads"], abs=1e-5)
    same = ("laterality", "missing", "unknown_words", "findings", "bundle", "prepare_sha", "notice")
    assert [served[key] for key in same] == [expected[key] for key in same]
    assert served["views"]["cc"]["frame"] == expected["views"]["cc"]["frame"]


def test_real_films_are_answered_as_the_predictor_does(server: Running, predictor: Predictor):
    files = real_pair()
    served = server.client.predict(**files).raw
    expected = predictor.predict(
        read_view(files["cc"], FrameConfig()), read_view(files["mlo"], FrameConfig())
    ).as_json()
    np.testing.assert_allclose(served["embedding"], expected["embedding"], atol=1e-5)
    assert [finding["code"] for finding in served["findings"]] == ["patient_differs", "study_differs"]
    assert "film" in [finding["code"] for finding in served["views"]["cc"]["findings"]]


def test_a_lone_view_is_answered(server: Running, mammograms: dict[str, Path]):
    answer = server.client.predict(mlo=mammograms["R_MLO"])
    assert (answer.laterality, answer.missing, answer.raw["attention"]) == ("R", ("cc",), None)


def test_the_curl_of_the_readme_works(server: Running, mammograms: dict[str, Path], tmp_path: Path):
    for name in ("L_CC", "L_MLO"):
        (tmp_path / f"{name}.dcm").symlink_to(mammograms[name])
    command = ["curl", "-sS", "-F", "cc=@L_CC.dcm", "-F", "mlo=@L_MLO.dcm", f"{server.client.url}/predict"]
    outcome = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert '"laterality": "L"' in outcome.stdout


def test_bad_requests_are_refused_and_good_ones_beside_them_answered(server: Running, mammograms: dict[str, Path]):
    ask = server.client.predict
    left, right = mammograms["L_CC"], mammograms["R_MLO"]
    with ThreadPoolExecutor(4) as pool:
        good = [pool.submit(ask, cc=left) for _ in range(3)]
        assert code_of(ask, cc=b"not dicom") == (415, "not_dicom", "cc")
        assert code_of(ask, cc=left, mlo=right) == (422, "side_mismatch", "")
        assert code_of(ask, cc=right) == (422, "view_mismatch", "cc")
        data = left.read_bytes()
        for end in (400, 5000, len(data) // 2, int(0.99 * len(data)), len(data) - 2):
            assert code_of(ask, cc=data[:end]) == (422, "truncated", "cc")
        assert code_of(ask) == (422, "missing_view", "")
        assert code_of(ask, cc=left, include=["pixels"]) == (422, "bad_include", "include")
        answers = [future.result() for future in good]
    assert answers[0].embedding == answers[1].embedding == answers[2].embedding


def test_a_request_that_is_too_large_is_refused(server: Running):
    with pytest.raises(ServerError) as error:
        server.client.predict(cc=b"0" * (33 << 20))
    assert error.value.code in {"body_too_large", "no_answer"}  # the server may hang up before all has been sent


def test_the_model_is_described(server: Running, random_bundle: Bundle):
    assert server.client.model()["bundle"] == random_bundle.sha256


def test_sigterm_answers_what_is_under_way_and_leaves_nothing(server: Running, mammograms: dict[str, Path]):
    with ThreadPoolExecutor(1) as pool:
        last = pool.submit(server.client.predict, cc=mammograms["L_CC"])
        time.sleep(0.05)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
        assert last.result().laterality == "L"
    wait_for_the_end_of(server.process.pid)
    assert not group_lives(server.process.pid)
    log = server.log.read_text()
    assert server.out.read_text() == ""
    assert "Traceback" not in log
    assert "POST /predict 200" in log
    assert ".dcm" not in log
    assert sorted(path.name for path in server.log.parent.iterdir()) == ["stderr", "stdout"]


def test_a_bundle_that_is_not_there_ends_with_one_line(tmp_path: Path):
    running = start(tmp_path, tmp_path / "none")
    assert running.process.wait(60) == 1
    assert running.log.read_text().startswith("glam-serve: bundle_missing: no bundle at")
    assert running.log.read_text().count("\n") == 1
