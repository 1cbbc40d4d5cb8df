"""What an operator sees of a real server: metrics, log, audit, cache, and work that nobody waits for."""

import http.client
import json
import os
import signal
import socket
import threading
import time
import urllib.error
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from glam.bundle import Bundle
from glam_serve.audit import verify
from glam_serve.metrics import FOLDER_VARIABLE
from tests.samples.serving import Lasting, RealServer, Serve, of_proc

pytestmark = pytest.mark.slow

KEY = "key-of-sixteen-characters"
MARKER = "DOE^JANE"
EDGE = "edge"


def form_of(source: Path, *, prompt: str = "", name: str = MARKER) -> bytes:
    """A whole form with one file."""
    head = f'--{EDGE}\r\nContent-Disposition: form-data; name="cc"; filename="{name}"\r\n\r\n'.encode()
    text = f'--{EDGE}\r\nContent-Disposition: form-data; name="prompts"\r\n\r\n{prompt}\r\n'.encode() if prompt else b""
    return text + head + source.read_bytes() + f"\r\n--{EDGE}--\r\n".encode()


def post(server: RealServer, body: bytes, **headers: str) -> tuple[int, dict, http.client.HTTPMessage]:
    """Status, answer and headers."""
    kind = {"Content-Type": f"multipart/form-data; boundary={EDGE}"}
    sent = kind | {name.replace("_", "-"): value for name, value in headers.items()}
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        connection.request("POST", "/predict", body, sent)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()), answer.headers


@dataclass(frozen=True, kw_only=True)
class Life:
    """A server from its start to its end: what it answered, and what it left."""

    answers: list[tuple[int, dict, http.client.HTTPMessage]]
    """Of four predictions and one that is refused."""
    samples: dict[str, float]
    """What /metrics said then."""
    log: str
    had_folder: bool
    """Of metrics, while it ran."""
    folder: Path


@pytest.fixture(scope="module")
def life(lasting: Lasting, mammograms: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Life:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(f"{KEY}\nanother-key-of-some-length\n")
    server = lasting("--apis", "2", "--api-keys", str(keys), "--log-format", "json")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        server.metrics()
    forms = [*[form_of(mammograms["L_CC"], prompt=MARKER)] * 4, form_of(mammograms["R_MLO"])]
    answers = [post(server, form, X_API_Key=KEY) for form in forms]
    samples = server.metrics(**{"X-API-Key": KEY})
    folder = folder_of_metrics(server)
    had_folder = folder.is_dir()
    server.process.terminate()
    assert server.process.wait(30) == 0
    return Life(answers=answers, samples=samples, log=server.log.read_text(), had_folder=had_folder, folder=folder)


def folder_of_metrics(server: RealServer) -> Path:
    (worker,) = server.pids("worker")
    variables = dict(entry.split(b"=", 1) for entry in of_proc(worker, "environ").split(b"\0") if b"=" in entry)
    return Path(variables[FOLDER_VARIABLE.encode()].decode())


def test_metrics_and_times_tell_of_every_process_and_of_no_patient(life: Life):
    for status, answer, headers in life.answers[:4]:
        assert status == 200
        assert list(answer["timings_ms"]) == ["upload", "read", "model", "wait", "answer"]
        assert all(value >= 0 for value in answer["timings_ms"].values())
        stages = [part.partition(";dur=")[0] for part in headers["Server-Timing"].split(", ")]
        assert stages == list(answer["timings_ms"])
    assert life.answers[4][0] == 422
    samples = life.samples
    assert samples['glam_requests_total{route="/predict",status="200"}'] == 4
    assert samples['glam_requests_total{route="/predict",status="422"}'] == 1
    assert samples['glam_requests_total{route="/metrics",status="401"}'] == 1
    assert samples['glam_findings_total{code="view_mismatch"}'] == 1
    assert samples['glam_findings_total{code="lone_view"}'] == 4
    for stage in ("upload", "read", "wait", "model", "answer"):
        assert samples[f'glam_stage_seconds_count{{stage="{stage}"}}'] >= 4
    assert samples["glam_batch_size_count"] == samples["glam_batch_size_sum"] == 4
    assert (samples["glam_waiting"], samples["glam_spooled_bytes"]) == (0, 0)
    assert samples["glam_workers_ready"] == 1
    assert MARKER not in "".join(samples) + life.log


def test_the_log_can_be_json_and_probes_leave_no_line_in_it(life: Life):
    lines = [json.loads(line) for line in life.log.splitlines()]
    requests = [line for line in lines if "route" in line and line["status"] == 200]
    assert [(line["route"], line["status"], line["request_id"]) for line in requests] == [
        ("/predict", status, headers["X-Request-ID"]) for status, _, headers in life.answers[:4]
    ]
    assert requests[0]["ms"] > 0
    assert all(line["time"] and line["level"] for line in lines)


def test_no_folder_of_metrics_is_left(life: Life):
    assert life.had_folder
    assert not life.folder.exists()


def test_every_answer_of_the_model_is_in_the_audit_log(
    serve: Serve, mammograms: dict[str, Path], random_bundle: Bundle, tmp_path: Path
):
    audit = tmp_path / "audit"
    server = serve("--audit", str(audit), "--apis", "2")
    form = form_of(mammograms["L_CC"])
    with ThreadPoolExecutor(4) as pool:
        sent = {post_headers["X-Request-ID"] for _, _, post_headers in pool.map(lambda _: post(server, form), range(8))}
    assert post(server, form_of(mammograms["R_MLO"]))[0] == 422
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert {line["request_id"] for line in lines} == sent
    assert {(line["bundle"], line["route"], line["status"]) for line in lines} == {
        (random_bundle.sha256, "/predict", 200)
    }
    assert verify(audit).num_lines == 8
    audit.unlink()
    status, answer, _ = post(server, form)
    assert (status, answer["code"]) == (500, "audit_failed")
    assert "audit_failed" in server.log.read_text()


def test_the_cache_answers_the_same_content_without_the_model(serve: Serve, mammograms: dict[str, Path]):
    server = serve("--cache-mb", "16")
    first, again, prompted = (
        post(server, form_of(mammograms["L_CC"], **more))[1]
        for more in ({"name": "a"}, {"name": "b"}, {"prompt": "a mass"})
    )
    own = {"timings_ms", "result_id"}  # of each request
    assert {key: again[key] for key in again.keys() - own} == {key: first[key] for key in first.keys() - own}
    assert "model" not in again["timings_ms"]
    assert list(prompted["prompts"]) == ["a mass"]
    samples = server.metrics()
    assert samples["glam_batch_size_count"] == 2
    assert samples['glam_cache_lookups_total{outcome="hit"}'] == 1
    assert samples['glam_cache_lookups_total{outcome="miss"}'] == 2


def test_the_cache_gives_nobody_what_another_was_permitted(
    serve: Serve, mammograms: dict[str, Path], kept_bundle: Bundle
):
    server = serve("--cache-mb", "16", bundle=kept_bundle)
    form = form_of(mammograms["L_CC"])
    here, proxied, here_again = (
        post(server, form, **headers)[1] for headers in ({}, {"X_Forwarded_For": "192.0.2.1"}, {})
    )
    assert here["embedding"] == here_again["embedding"] is not None
    assert proxied["embedding"] is None
    assert "embedding_withheld" in [finding["code"] for finding in proxied["findings"]]
    assert server.metrics()['glam_cache_lookups_total{outcome="hit"}'] == 2


@pytest.mark.alone
def test_requests_whose_clients_left_are_not_computed(serve: Serve, mammograms: dict[str, Path]):
    server = serve()
    form = form_of(mammograms["L_CC"])
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary={EDGE}\r\n"
    os.kill(server.pids("worker")[0], signal.SIGSTOP)  # for less than it takes to be replaced for it
    leaving: list[socket.socket] = []
    for _ in range(12):
        leaving.append(server.connect())
        leaving[-1].sendall(f"{head}Content-Length: {len(form)}\r\n\r\n".encode() + form)
    time.sleep(0.3)
    for connection in leaving:
        connection.close()
    time.sleep(0.2)
    worker = server.pids("worker")
    os.kill(worker[0], signal.SIGCONT)
    assert server.outcome(mammograms["L_CC"]) == 200
    samples = server.metrics()
    assert samples['glam_requests_total{route="/predict",status="499"}'] == 12
    assert samples["glam_batch_size_count"] <= 3  # the one that is answered, and what was taken before they left


def test_what_was_replaced_is_counted(lasting: Lasting):
    server = lasting()
    os.kill(server.pids("worker")[0], signal.SIGKILL)
    time.sleep(1)
    server.wait_until_ready()
    assert server.metrics()['glam_restarts_total{kind="worker"}'] == 1


def test_an_upgrade_beside_the_old_server_loses_no_request(lasting: Lasting, mammograms: dict[str, Path]):
    old, new = lasting(), lasting(number=1)  # docs/operate.md, "Upgrade without losing a request"
    in_service = [old]
    is_over = threading.Event()

    def ask_until_the_end() -> list[int]:
        statuses = []
        while not is_over.is_set():
            statuses.append(in_service[0].outcome(mammograms["L_CC"]))
        return statuses

    with ThreadPoolExecutor(3) as pool:
        callers = [pool.submit(ask_until_the_end) for _ in range(3)]
        time.sleep(1)
        in_service[0] = new
        time.sleep(0.5)
        old.process.terminate()
        assert old.process.wait(60) == 0
        time.sleep(1)
        is_over.set()
        statuses = [status for caller in callers for status in caller.result()]
    assert set(statuses) == {200}
    assert new.metrics()['glam_requests_total{route="/predict",status="200"}'] > 0
