"""`--engine ray` on a real cluster of two nodes on this machine: nodes and actors die, and the store is the same."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glam.bundle import Bundle
from glam.local_server import free_port
from glam.store.read import read_rows, read_success, vectors
from glam.store.run_key import RunRecord, read_run
from glam.store.schema import StoreError
from glam.store.verify import verify_store
from glam_serve.cohort.decoders import InterruptedRun
from glam_serve.cohort.embed import embed as embed_cohort
from glam_serve.cohort.engines import Engine
from glam_serve.cohort.items import Shard
from glam_serve.cohort.ray_cluster import RayOptions, connected, import_ray, silent
from glam_serve.cohort.ray_engine import RayEngine
from glam_serve.cohort.run_command import Run
from glam_serve.cohort.runner import Committed
from tests.samples.cohorts import FaultyEngine, Moment, RowsEngine, cohort_of, embed_rows
from tests.samples.kills import ROOT, embed_command
from tests.samples.network import reached_out, traced
from tests.samples.serving import wait_until
from tests.samples.stores import RECORD, contents, write_store

ray_is_missing = "ray is not installed"
EXAMS = [f"e{number:02d}" for number in range(12)]
"""Six shards of two breasts."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head node with two CPUs; a test adds another one."""
    pytest.importorskip("ray", reason=ray_is_missing)
    import_ray()
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 2, "object_store_memory": 80_000_000, "include_dashboard": False}
    with silent():
        cluster = Cluster(initialize_head=True, head_node_args=node)
    yield cluster
    cluster.shutdown()


def run_rows(cluster: Any, store: Path, make: Callable[[RunRecord], Engine], *, actors: int = 2) -> None:
    """Embed the rows of EXAMS on the cluster, two breasts a shard."""
    options = RayOptions(address=cluster.address, actors=actors, num_cpus=1)

    def engine(record: RunRecord) -> Engine:
        return RayEngine(make_engine=partial(make, record), run_key=record.config.key, options=options)

    embed_cohort(lambda: cohort_of(EXAMS), store, RECORD, engine, shard_size=2, stop=threading.Event())


@pytest.fixture
def expected(tmp_path: Path) -> tuple:
    """The content of the store that one process makes, of which an exam has no image that can be used."""
    embed_rows(EXAMS, tmp_path / "expected", refused=["e03"])
    return contents(tmp_path / "expected")


def faulty(record: RunRecord, folder: Path, moments: dict[int, Moment]) -> Engine:
    return FaultyEngine(RowsEngine(record, ["e03"]), folder, moments)


@pytest.mark.slow
def test_a_node_that_is_lost_in_mid_run_costs_nothing(
    cluster: Any, phantoms: Path, whole: Path, random_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    node = cluster.add_node(num_cpus=2, object_store_memory=80_000_000)
    cluster.wait_for_nodes()
    run_engine = RayEngine.run

    def losing(engine: RayEngine, *arguments: Any) -> Iterator[Committed]:
        for count, committed in enumerate(run_engine(engine, *arguments)):
            if count == 0:
                cluster.remove_node(node, allow_graceful=False)
            yield committed

    monkeypatch.setattr(RayEngine, "run", losing)
    run = Run(
        manifest=phantoms / "manifest.csv",
        out=tmp_path / "s",
        bundle=random_bundle.folder,
        shard_size=1,
        engine="ray",
        address=cluster.address,
        actors=2,
    )
    assert run.run() == 0
    assert verify_store(tmp_path / "s").problems == ()
    assert read_run(tmp_path / "s").config == read_run(whole).config
    rows, others = read_rows(tmp_path / "s"), read_rows(whole)
    np.testing.assert_allclose(vectors(rows), vectors(others), atol=1e-5)
    for name in ("exam_id", "laterality", "images", "codes", "frames", "landmarks", "provenance", "missing"):
        assert rows.column(name).to_pylist() == others.column(name).to_pylist()


@pytest.mark.slow
def test_actors_that_die_before_between_and_after_the_files_of_a_shard_lose_and_double_nothing(
    cluster: Any, tmp_path: Path, expected: tuple
):
    """A crash between write and checkpoint doubles a block in Ray Data, rows finalised too early are lost in Daft."""
    moments: dict[int, Moment] = {0: "before", 1: "between", 4: "after"}
    run_rows(cluster, tmp_path / "s", partial(faulty, folder=tmp_path, moments=moments))
    assert {path.name for path in tmp_path.iterdir()} >= {"0", "1", "4"}  # each died once
    assert contents(tmp_path / "s") == expected
    assert verify_store(tmp_path / "s").problems == ()


@pytest.mark.slow
def test_shards_that_end_every_actor_are_given_up_alone(
    cluster: Any, tmp_path: Path, expected: tuple, caplog: pytest.LogCaptureFixture
):
    moments: dict[int, Moment] = {2: "always", 5: "raises"}
    with pytest.raises(RuntimeError, match="shards 2, 5 ended 3 actors each; all others are done"):
        run_rows(cluster, tmp_path / "s", partial(faulty, folder=tmp_path, moments=moments))
    assert ("TypeError in" in caplog.text, "SECRET" in caplog.text) == (True, False)
    parts = {path.name for path in (tmp_path / "s").glob("part-*.parquet")}
    assert parts == {f"part-{shard:06d}.parquet" for shard in (0, 1, 3, 4)}
    assert read_success(tmp_path / "s") is None
    embed_rows(EXAMS, tmp_path / "s", refused=["e03"])  # without it the same store is finished
    assert contents(tmp_path / "s") == expected


@pytest.mark.slow
def test_what_every_actor_refuses_ends_the_run_with_its_code(cluster: Any, tmp_path: Path):
    refusing: dict[int, Moment] = dict.fromkeys(range(6), "refuses")
    with pytest.raises(StoreError, match="not this one") as caught:
        run_rows(cluster, tmp_path / "s", partial(faulty, folder=tmp_path, moments=refusing))
    assert caught.value.code == "other_bundle"


@pytest.mark.slow
def test_a_run_is_interrupted_soon(cluster: Any, tmp_path: Path):
    write_store(tmp_path / "s", ["e"])
    stop = threading.Event()
    slow = partial(FaultyEngine, RowsEngine(RECORD), tmp_path, {}, slow_s=60)
    options = RayOptions(address=cluster.address, actors=1)
    run = RayEngine(make_engine=slow, run_key=RECORD.config.key, options=options)
    timer = threading.Timer(1, stop.set)
    timer.start()
    began = time.monotonic()
    with pytest.raises(InterruptedRun):
        list(run.run(tmp_path / "s", [Shard(0, "", ())], stop))
    assert time.monotonic() - began < 30


@pytest.mark.slow
def test_a_driver_that_is_killed_takes_its_actors_along_and_the_next_run_goes_on(
    cluster: Any, phantoms: Path, random_bundle: Bundle, whole: Path, tmp_path: Path
):
    store = tmp_path / "s"
    options = ["--bundle", str(random_bundle.folder), "--shard-size", "1", "--engine", "ray", "--actors", "1"]
    command = embed_command(phantoms / "manifest.csv", store, *options, "--address", cluster.address)
    killed = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: len(list(store.glob("part-*.parquet"))) > 0, what="a part", timeout_s=120)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(vectors(read_rows(store)), vectors(read_rows(whole)), atol=1e-5)
    assert verify_store(store).problems == ()


def test_statistics_are_off_and_what_tells_that_they_are_goes_nowhere():
    pytest.importorskip("ray", reason=ray_is_missing)
    code = """
from glam_serve.cohort.ray_cluster import import_ray
import_ray()
from ray._common.usage import usage_lib
print(usage_lib.usage_stats_enabled(), usage_lib._usage_stats_report_url())
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_USAGE")}
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout
    is_on, address = said.split()[-2:]
    assert is_on == "False"
    assert address.startswith("http://127.0.0.1")


def test_a_machine_too_busy_for_a_cluster_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch):
    ray = pytest.importorskip("ray", reason=ray_is_missing)

    def raising(error: Exception) -> Callable[..., None]:
        def init(**_: object) -> None:
            raise error

        return init

    # as `ray._private.node.Node` does when its raylet is late
    monkeypatch.setattr(ray, "init", raising(Exception("The current node timed out during startup.")))
    with pytest.raises(RuntimeError, match=r"no cluster here: .* the same command goes on"), connected(RayOptions()):
        pass
    monkeypatch.setattr(ray, "init", raising(TypeError("ours")))
    with pytest.raises(TypeError, match="ours"), connected(RayOptions()):
        pass


def test_a_client_that_nobody_answers_is_told_which_port_and_which_token(monkeypatch: pytest.MonkeyPatch):
    ray = pytest.importorskip("ray", reason=ray_is_missing)

    def init(**_: object) -> None:
        raise ConnectionError("ray client connection timeout")  # as of a client, for a wrong token too

    monkeypatch.setattr(ray, "init", init)
    with (
        pytest.raises(ConnectionError, match=r"at ray://h:1 .* --ray-client-server-port, and set RAY_AUTH_MODE=token"),
        connected(RayOptions(address="ray://h:1")),
    ):
        pass


@pytest.fixture
def client_port(cluster: Any, tmp_path: Path) -> Iterator[int]:
    """Where clients are answered that are no nodes of the cluster.

    By a server of the test's own, that connects to the cluster by itself: the one that Ray starts gives each client a
    process and 30 s, which is too little on a busy machine.
    """
    port = free_port(0)
    command = [sys.executable, "-m", "ray.util.client.server", "--mode", "legacy", "--host", "127.0.0.1"]
    with (tmp_path / "client-server").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--port", str(port), "--address", cluster.address], cwd=ROOT, stdout=log, stderr=log
        )
    try:
        wait_until(lambda: server.poll() is not None or _answers(port), what="an open port", timeout_s=180)
        assert server.poll() is None, (tmp_path / "client-server").read_text()
        yield port
    finally:
        server.kill()
        server.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.mark.slow
def test_a_client_of_a_cluster_that_it_is_no_part_of_makes_the_same_store(
    client_port: int, phantoms: Path, random_bundle: Bundle, whole: Path, tmp_path: Path
):
    options = ["--bundle", str(random_bundle.folder), "--shard-size", "2", "--engine", "ray", "--actors", "1"]
    address = ["--num-cpus", "1", "--address", f"ray://127.0.0.1:{client_port}"]
    command = embed_command(phantoms / "manifest.csv", tmp_path / "s", *options, *address)
    patient = {"RAY_CLIENT_INITIAL_CONNECTION_TIMEOUT_S": "60", "RAY_CLIENT_MAX_CONNECTION_TIMEOUT_S": "300"}
    done = subprocess.run(command, cwd=ROOT, env=os.environ | patient, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(vectors(read_rows(tmp_path / "s")), vectors(read_rows(whole)), atol=1e-5)
    assert verify_store(tmp_path / "s").problems == ()


ALONE = """
import sys, threading
from functools import partial
from pathlib import Path
from glam_serve.cohort.embed import embed
from glam_serve.cohort.ray_cluster import RayOptions
from glam_serve.cohort.ray_engine import RayEngine
from tests.samples.cohorts import RowsEngine, cohort_of
from tests.samples.stores import RECORD

def engine(record):
    make = partial(RowsEngine, record)
    return RayEngine(make_engine=make, run_key=record.config.key, options=RayOptions(actors=1))

embed(lambda: cohort_of(["a", "b"]), Path(sys.argv[1]), RECORD, engine, stop=threading.Event())
"""
"""A run on a cluster of its own."""


@pytest.mark.slow
def test_a_cluster_that_is_started_here_sends_no_packet_to_another_machine(tmp_path: Path):
    pytest.importorskip("ray", reason=ray_is_missing)
    (tmp_path / "home").mkdir()
    command = [sys.executable, "-c", ALONE, tmp_path / "s"]
    run = traced(tmp_path / "trace", tmp_path / "home", *command, cwd=ROOT, stderr=subprocess.PIPE)
    _, err = run.communicate(timeout=300)
    assert run.returncode == 0, err
    own = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout.split()
    calls = [call for call in reached_out(tmp_path / "trace") if "AF_INET" in call]
    others = [call for call in calls if not any(f'{address}"' in call for address in own)]
    # Ray learns this machine's address by a datagram socket that is connected and never written to
    assert [call for call in others if 'sin_port=htons(53), sin_addr=inet_addr("8.8.8.8")' not in call] == []


def test_without_ray_its_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], phantoms: Path, tmp_path: Path
):
    from glam_serve.cohort import cli

    monkeypatch.setitem(sys.modules, "ray", None)
    words = ["glam-embed", "run", "--manifest", str(phantoms / "manifest.csv"), "--out", str(tmp_path / "s")]
    monkeypatch.setattr(sys, "argv", [*words, "--engine", "ray"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert 'pip install "glam-mammo[ray]"' in str(caught.value.code)
    assert not (tmp_path / "s" / "run.json").exists()
