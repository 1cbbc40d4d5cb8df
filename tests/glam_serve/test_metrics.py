"""What Prometheus reads: sums over processes, and what the server holds now."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from glam_serve.metrics import FOLDER_VARIABLE, exposition, make_metrics, metrics_folder
from glam_serve.vitals import Vitals

TWO_PROCESSES = """
import os, sys
from glam_serve.metrics import exposition, make_metrics, metrics_folder
from glam_serve.vitals import Vitals
with metrics_folder() as folder:
    metrics = make_metrics()
    metrics.requests.labels("/predict", "200").inc()
    for _ in range(2):
        if not os.fork():
            metrics.requests.labels("/predict", "200").inc(10)
            metrics.batch_size.observe(2)
            os._exit(0)
        os.wait()
    vitals = Vitals(num_apis=2, num_workers=1)
    vitals.waiting[:] = [3, 4]
    sys.stdout.write(exposition(metrics, vitals, version={"bundle": "abc"})[0].decode())
print(folder.exists())
"""


@pytest.fixture(scope="module")
def lines() -> list[str]:
    outcome = subprocess.run([sys.executable, "-c", TWO_PROCESSES], capture_output=True, text=True, check=True)
    return outcome.stdout.splitlines()


def test_counts_are_summed_over_processes_those_that_ended_too(lines: list[str]):
    assert 'glam_requests_total{route="/predict",status="200"} 21.0' in lines
    assert "glam_batch_size_count 2.0" in lines
    assert 'glam_batch_size_bucket{le="1.0"} 0.0' in lines
    assert 'glam_batch_size_bucket{le="2.0"} 2.0' in lines


def test_what_is_held_now_is_told(lines: list[str]):
    assert "glam_waiting 7.0" in lines
    assert "glam_spooled_bytes 0.0" in lines
    assert "glam_workers_ready 0.0" in lines
    assert 'glam_bundle_info{bundle="abc"} 1.0' in lines


def test_the_folder_is_gone_when_the_server_is(lines: list[str]):
    assert lines[-1] == "False"


def test_no_label_names_a_process(lines: list[str]):
    assert not [line for line in lines if "pid=" in line]


def test_one_process_without_a_folder_tells_its_own():
    assert FOLDER_VARIABLE not in os.environ
    metrics = make_metrics()
    metrics.restarts.labels("worker").inc()
    text, media_type = exposition(metrics, Vitals(num_apis=1, num_workers=1), version={})
    assert b'glam_restarts_total{kind="worker"} 1.0' in text
    assert media_type.startswith("text/plain")


def test_the_folder_is_not_where_uploads_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("glam_serve.metrics.SHARED_MEMORY", tmp_path)
    with metrics_folder() as folder:
        assert folder.parent == tmp_path
        assert os.environ[FOLDER_VARIABLE] == str(folder)
    assert FOLDER_VARIABLE not in os.environ
    assert list(tmp_path.iterdir()) == []
