"""Requests under way at a real server that is disturbed, and how they end."""

import time
from concurrent.futures import Future, ThreadPoolExecutor

from tests.samples.forms import Form, Outcome, ask
from tests.samples.serving import DEADLINE_S, RealServer, of_proc

IN_TIME_S = DEADLINE_S + 10
"""No request may last longer, its upload included."""
LIMITS = ("--threads", "1", "--limits.deadline-s", str(DEADLINE_S), "--limits.grace-s", "10")
STALLING = ("--limits.body-idle-s", "1")
TWO_OF_EACH = ("--workers", "2", "--apis", "2")


def ask_beside(server: RealServer, question: Form, pool: ThreadPoolExecutor, count: int) -> list[Future[Outcome]]:
    """Ask several times at once and return as soon as the requests are under way."""
    futures = [pool.submit(ask, server.port, question, timeout_s=IN_TIME_S) for _ in range(count)]
    time.sleep(0.3)
    return futures


def statuses(futures: list[Future[Outcome]]) -> list[int]:
    """How requests ended; none may have lasted beyond its deadline."""
    outcomes = [future.result() for future in futures]
    assert max(outcome.seconds for outcome in outcomes) < IN_TIME_S
    return [outcome.status for outcome in outcomes]


def assert_answers(server: RealServer, question: Form) -> None:
    outcome = ask(server.port, question, timeout_s=IN_TIME_S)
    assert outcome.status == 200, outcome.body


def both_loaded(server: RealServer) -> bool:
    """Whether both workers have opened the engine, long after they bound themselves to their parent."""
    return [b"onnxruntime" in of_proc(pid, "maps") for pid in server.pids("worker")] == [True, True]


def form_head(*, length: int, headers: bytes = b"") -> bytes:
    """The beginning of an upload."""
    return (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=edge\r\n"
        + headers
        + f"Content-Length: {length}\r\n\r\n".encode()
        + b'--edge\r\nContent-Disposition: form-data; name="cc"; filename="cc.dcm"\r\n\r\n'
    )
