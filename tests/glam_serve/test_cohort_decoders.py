"""Processes that decode: in order whatever they do, and one that dies, hangs or raises costs its own item alone."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from glam_serve.cohort.decoder import DecoderOptions
from glam_serve.cohort.decoders import InterruptedRun, prepared_items
from glam_serve.cohort.items import Item, PreparedItem
from tests.samples.decoding import EndsAtStart, item_of, prepared_by_path

NAMES = [f"{number:02d}" for number in range(12)]


def outcomes(paths: dict[str, str], *, names: list[str] = NAMES, **options: float) -> list[PreparedItem]:
    items = [item_of(name, path=paths.get(name, "")) for name in names]
    settings = DecoderOptions(**{"workers": 2, "timeout_s": 60, **options})
    return list(prepared_items(items, prepared_by_path, settings, threading.Event()))


def fates(results: list[PreparedItem]) -> list[str]:
    return [result.problems[0].code if result.problems else result.left_out[0].image_id for result in results]


def pids(results: list[PreparedItem]) -> set[str]:
    return {result.left_out[0].code for result in results if result.left_out}


def is_running(pid: str) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_items_come_back_in_their_order_from_several_processes():
    results = outcomes({"00": "slow:3", "05": "slow:0.3"}, workers=3)
    assert fates(results) == NAMES
    assert 1 < len(pids(results)) <= 3
    assert not any(map(is_running, pids(results)))


def test_a_segfault_costs_one_item(caplog: pytest.LogCaptureFixture):
    results = outcomes({"03": "segfault", "04": "segfault"})
    assert fates(results) == [*NAMES[:3], "worker_crashed", "worker_crashed", *NAMES[5:]]
    assert results[3].problems[0][:3] == ("i-03", "crash", "worker_crashed")
    assert "worker_crashed" in caplog.text


def test_an_item_whose_process_died_once_is_tried_in_another(tmp_path: Path):
    assert fates(outcomes({"03": f"segfault-once:{tmp_path / 'seen'}"})) == NAMES


def test_a_segfault_with_one_process_costs_one_item():
    assert fates(outcomes({"00": "segfault"}, workers=1)) == ["worker_crashed", *NAMES[1:]]


def test_an_item_that_hangs_is_timed_out_and_its_process_replaced():
    start = time.monotonic()
    results = outcomes({"02": "hang"}, timeout_s=1)
    assert fates(results) == [*NAMES[:2], "timed_out", *NAMES[3:]]
    assert results[2].problems[0].stage == "timeout"
    assert time.monotonic() - start < 60


def test_a_fault_of_ours_costs_one_item_and_is_told_without_its_message(caplog: pytest.LogCaptureFixture):
    results = outcomes({"02": "raise"})
    assert fates(results) == [*NAMES[:2], "internal_error", *NAMES[3:]]
    assert "TypeError" in caplog.text
    assert "decoding.py" in caplog.text
    assert "SECRET" not in caplog.text + str(results)


def test_a_process_is_replaced_after_so_many_items_and_none_is_lost():
    results = outcomes({}, workers=1, most_items=5)
    assert fates(results) == NAMES
    of_items = [result.left_out[0].code for result in results]
    assert [len(set(of_items[start : start + 5])) for start in (0, 5, 10)] == [1, 1, 1]
    assert len(set(of_items)) == 3


def test_a_process_that_grows_is_replaced_and_none_is_lost():
    results = outcomes({"03": "grow:60", "04": "grow:60", "08": "grow:10"}, workers=1, most_growth_mb=100)
    assert fates(results) == NAMES
    of_items = [result.left_out[0].code for result in results]
    assert [len(set(part)) for part in (of_items[:5], of_items[5:], of_items)] == [1, 1, 2]


@pytest.mark.parametrize(
    ("path", "options"), [("hang:", {"timeout_s": 0.5}), ("segfault:", {}), ("", {"most_items": len(NAMES)})]
)
def test_a_run_ends_where_the_process_of_its_last_item_was_replaced(path: str, options: dict[str, float]):
    """Only the new process sees that there are no more items: nothing is said after it."""
    paths = {NAMES[-1]: path} if path else {}
    assert len(outcomes(paths, workers=1, **options)) == len(NAMES)


def test_only_so_many_items_are_under_way():
    taken: list[str] = []

    def items() -> Iterator[Item]:
        for name in NAMES:
            taken.append(name)
            yield item_of(name)

    options = DecoderOptions(workers=2, ahead=3)
    with closing(prepared_items(items(), prepared_by_path, options, threading.Event())) as results:
        next(results)
        time.sleep(1)
        assert len(taken) == 3


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_end_comes_where_every_item_was_taken_before_it_was_found(count: int):
    options = DecoderOptions(workers=1, ahead=1)  # so that each item is asked for when the one before was taken
    taken = list[PreparedItem]()
    items = [item_of(f"{number}") for number in range(count)]

    def take_all() -> None:
        taken.extend(prepared_items(items, prepared_by_path, options, threading.Event()))

    consumer = threading.Thread(target=take_all, daemon=True)
    consumer.start()
    consumer.join(60)
    assert not consumer.is_alive()
    assert len(taken) == count


def test_no_items_are_no_results():
    assert outcomes({}, names=[]) == []


def test_what_the_items_raise_is_raised():
    def items() -> Iterator[Item]:
        yield item_of("a")
        raise OSError("the manifest is gone")

    with pytest.raises(OSError, match="is gone"):
        list(prepared_items(items(), prepared_by_path, DecoderOptions(), threading.Event()))


def test_a_run_that_is_told_to_stop_does_not_wait_for_a_hanging_item():
    stop = threading.Event()
    threading.Timer(3, stop.set).start()
    start = time.monotonic()
    with pytest.raises(InterruptedRun):
        list(prepared_items([item_of("a", path="hang")], prepared_by_path, DecoderOptions(), stop))
    assert time.monotonic() - start < 30


def test_processes_that_never_start_end_the_run():
    with pytest.raises(RuntimeError, match="do not start"):
        list(prepared_items([item_of("a")], EndsAtStart(), DecoderOptions(), threading.Event()))


def test_processes_end_with_their_caller_and_with_whoever_stops_listening():
    items = (item_of(name) for name in NAMES)
    with closing(prepared_items(items, prepared_by_path, DecoderOptions(), threading.Event())) as results:
        (pid,) = pids([next(results)])
        assert is_running(pid)
    assert not is_running(pid)


@pytest.mark.parametrize("options", [{"workers": 0}, {"timeout_s": 0.0}])
def test_options_without_a_meaning_are_refused(options: dict):
    with pytest.raises(ValueError, match="is not above 0"):
        DecoderOptions(**options)
