"""What an actor of `--engine ray` says of what went wrong, and for how many of them a cluster has room: without Ray."""

import threading
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from glam.runtime import EngineUnavailableError
from glam.store.schema import StoreError
from glam_serve.cohort import ray_actor, ray_engine
from glam_serve.cohort.engines import Engine
from glam_serve.cohort.faults import SourceGoneError
from glam_serve.cohort.items import Shard
from glam_serve.cohort.ray_actor import Failure, ShardActor, check_store, failure_of
from glam_serve.cohort.ray_cluster import RayOptions, num_actors, room_for_actors
from glam_serve.cohort.ray_engine import _Driver
from glam_serve.cohort.ray_work import Work
from glam_serve.cohort.remote import StorageError
from glam_serve.cohort.runner import Committed
from tests.samples.stores import RECORD, write_store


def test_another_folder_at_the_same_path_is_refused(tmp_path: Path):
    with pytest.raises(StoreError, match="finds no store of this run") as caught:
        check_store(tmp_path, "k", patience_s=0)
    assert caught.value.code == "store_not_shared"
    write_store(tmp_path / "s", ["e"])
    check_store(tmp_path / "s", RECORD.config.key, patience_s=0)
    with pytest.raises(StoreError, match="every machine"):
        check_store(tmp_path / "s", "another", patience_s=0)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (StoreError("other_run", "no"), Failure("refused", "other_run", "no")),
        (EngineUnavailableError("away"), Failure("refused", "engine_unavailable", "away")),
        (StorageError("storage_unreachable", "no answer"), Failure("gone", "storage_unreachable", "no answer")),
        (OSError(28, "No space", "/s/part"), Failure("system", "", "No space: /s/part", 28)),
        (
            ModuleNotFoundError("No module", name="pydicom"),
            Failure("refused", "", "pydicom is not installed on a machine of the cluster"),
        ),
        (KeyError("SECRET"), Failure("fault", "internal_error", "KeyError in\n")),
        (ValueError("SECRET"), Failure("fault", "internal_error", "ValueError in\n")),
        (
            UnicodeEncodeError("utf-8", "SECRET", 0, 1, "no"),
            Failure("fault", "internal_error", "UnicodeEncodeError in\n"),
        ),
        (pa.ArrowInvalid("SECRET"), Failure("fault", "internal_error", "ArrowInvalid in\n")),
    ],
)
def test_what_is_told_of_an_exception(error: Exception, failure: Failure):
    assert failure_of(error, is_starting=False) == failure


def test_what_is_missing_for_an_engine_is_told_and_what_a_library_raises_is_not():
    missing = ValueError("no graph at /b: make a bundle with glam-export onnx")
    assert failure_of(missing, is_starting=True) == Failure("refused", "", str(missing))
    assert failure_of(pa.ArrowInvalid("SECRET"), is_starting=True).kind == "fault"


class EngineOf:
    """An engine that raises at its first shard, or where it is made."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def run(self, store: Path, shards: Iterable[Shard | None], stop: threading.Event) -> Iterator[Committed]:
        next(iter(shards))
        raise self.error
        yield


def test_a_value_that_an_engine_chokes_on_is_the_shards_fault_and_a_missing_file_the_actors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ray_actor, "_hide_main_module", lambda: None)  # of a Ray worker
    write_store(tmp_path / "s", ["e"])

    def missing() -> Engine:
        raise ValueError("no checkpoint")

    kinds = {}
    for make in (missing, partial(EngineOf, ValueError("SECRET"))):
        failure = ShardActor(make, tmp_path / "s", RECORD.config.key).commit(Shard(0, "", ()))
        assert isinstance(failure, Failure)
        kinds[failure.kind] = failure.message
    assert kinds["refused"] == "no checkpoint"
    assert "SECRET" not in kinds["fault"]


@pytest.mark.parametrize(
    ("cpus", "gpus", "expected"), [(1, 0, 8), (3, 0, 2), (1, 0.25, 8), (0, 0.3, 6), (0, 1, 2), (0, 2, 1)]
)
def test_actors_fill_the_nodes_and_cut_no_gpu_across_cards(cpus: float, gpus: float, expected: int):
    nodes = [
        {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}},
        {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
    ]
    assert room_for_actors(nodes, RayOptions(num_cpus=cpus, num_gpus=gpus)) == expected


def test_nodes_that_are_gone_have_no_room_for_actors_that_want_nothing_either():
    nodes = [{"Alive": alive, "Resources": {"CPU": 8.0}} for alive in (True, False, False)]
    assert room_for_actors(nodes, RayOptions(num_cpus=0)) == 1


def test_actors_that_were_asked_for_wait_for_machines_where_some_may_come_and_are_refused_where_none_will():
    nodes = [{"Alive": True, "Resources": {"CPU": 8.0}}]
    assert num_actors(nodes, RayOptions(actors=3, num_cpus=16, address="auto")) == 3
    assert num_actors(nodes, RayOptions(num_cpus=2, address="auto")) == 4
    assert num_actors(nodes, RayOptions(actors=3, num_cpus=8)) == 3  # the one that has a place does the work
    with pytest.raises(ValueError, match=r"16 cores and 0 GPUs for an actor: ask for less$"):
        num_actors(nodes, RayOptions(actors=3, num_cpus=16))


def test_a_cluster_without_room_is_told():
    with pytest.raises(ValueError, match="has 16 cores and 0 GPUs for an actor"):
        room_for_actors([{"Alive": True, "Resources": {"CPU": 8.0}}], RayOptions(num_cpus=16))


@pytest.mark.parametrize(
    "wrong",
    [
        {"actors": 0},
        {"num_cpus": -1},
        {"num_cpus": 1e-9},
        {"num_cpus": float("nan")},
        {"num_gpus": 1.5},
        {"num_gpus": 1e-9},
        {"num_gpus": float("nan")},
    ],
)
def test_options_without_a_meaning_are_refused(wrong: dict[str, Any]):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RayOptions(**wrong)


@pytest.mark.parametrize(("address", "is_here"), [(None, True), ("local", True), ("auto", False), ("ray://h:1", False)])
def test_a_cluster_that_is_started_here_is_silent_by_whichever_name_it_is_asked_for(address: str | None, is_here: bool):
    assert RayOptions(address=address).is_here == is_here


@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (Failure("gone", "storage_unreachable", "no answer"), SourceGoneError),
        (Failure("refused", "other_run", "no answer"), StoreError),
        (Failure("system", "", "no answer", 5), OSError),
        (Failure("fault", "actor_died", "no answer"), RuntimeError),
    ],
)
def test_what_took_the_last_actor_out_ends_the_run_as_on_one_machine(
    tmp_path: Path, failure: Failure, raised: type[Exception]
):
    work = Work(iter([Shard(0, "", ())]), [], failure=failure)
    with pytest.raises(raised, match="no answer") as caught:
        list(_Driver(None, tmp_path, lambda: None, work).run(threading.Event()))
    assert isinstance(caught.value, SourceGoneError) == (failure.kind == "gone")


def test_errors_that_another_machine_wrote_are_waited_for_as_their_part_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A run that ended before a network file system showed them would say that the store is damaged."""
    write_store(tmp_path / "s", ["e"], bad=["e"])
    (errors,) = (tmp_path / "s").glob("errors-*.parquet")
    hidden = errors.rename(tmp_path / "hidden")
    driver = _Driver(None, tmp_path / "s", lambda: None, Work(iter(()), []))
    monkeypatch.setattr(ray_engine.time, "sleep", lambda seconds: hidden.rename(errors))
    driver._see(Committed(0, 1, 0, 2))
    assert errors.exists()
    errors.unlink()
    monkeypatch.setattr(ray_engine, "SEEN_S", 0.0)
    monkeypatch.setattr(ray_engine.time, "sleep", lambda seconds: None)
    with pytest.raises(StoreError, match="is not in"):
        driver._see(Committed(0, 1, 0, 2))
    driver._see(Committed(0, 1, 1, 0))
