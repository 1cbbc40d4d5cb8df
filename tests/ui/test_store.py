from concurrent.futures import ThreadPoolExecutor

import pytest

from glam_ui.store import Store


class Clock:
    """A clock that stands still until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def content(store: Store, token: str) -> bytes | None:
    kept = store.get(token)
    return None if kept is None else kept.content


def test_bytes_are_kept_for_a_time_after_they_were_last_asked_for(clock: Clock):
    store = Store(lifetime_s=10, clock=clock)
    token = store.put(b"pixels")
    clock.now = 9
    assert content(store, token) == b"pixels"
    clock.now = 18
    assert content(store, token) == b"pixels"
    clock.now = 28
    assert store.get(token) is None
    assert store.num_bytes() == 0


def test_the_oldest_go_when_there_is_too_much(clock: Clock):
    store = Store(max_bytes=10, clock=clock)
    first, second = store.put(b"12345"), store.put(b"67890")
    store.get(first)
    third = store.put(b"abc")
    assert (content(store, first), content(store, second), content(store, third)) == (b"12345", None, b"abc")


def test_one_image_larger_than_everything_is_kept_until_the_next(clock: Clock):
    store = Store(max_bytes=2, clock=clock)
    first = store.put(b"12345")
    assert content(store, first) == b"12345"
    store.put(b"1")
    assert store.get(first) is None


def test_tokens_cannot_be_guessed(clock: Clock):
    store = Store(clock=clock)
    tokens = {store.put(b"") for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 32
    store.drop(next(iter(tokens)))
    assert store.get("../etc/passwd") is None


def test_it_can_be_waited_until_something_has_been_asked_for():
    store = Store()
    first, second = store.put(b"1"), store.put(b"2")
    assert not store.wait_for([first, second], most_s=0.01)
    store.get(first)
    assert not store.wait_for([first, second], most_s=0.01)
    assert store.wait_for([first], most_s=0.01)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(store.wait_for, [first, second], most_s=30)
        store.get(second)
        assert waiting.result(20)
    store.drop(second)
    assert store.wait_for([first, second, "gone"], most_s=0.01)
