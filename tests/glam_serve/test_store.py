from glam_serve.hub import JOB_LOST, Hub
from glam_serve.store import MAX_OPEN_JOBS, Job, Jobs, Store, new_token


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_value_is_kept_for_its_time_and_no_longer():
    clock = Clock()
    store = Store(max_items=9, max_bytes=99, kept_s=10, clock=clock)
    store.put("a", 1, size=1)
    clock.now = 9.9
    assert store.get("a") == 1
    clock.now = 10
    assert (store.get("a"), store.items()) == (None, [])


def test_the_oldest_values_go_where_there_is_no_room():
    store = Store(max_items=2, max_bytes=10, kept_s=10)
    for key in "abc":
        store.put(key, key, size=4)
    assert [key for key, _ in store.items()] == ["b", "c"]
    store.put("d", "d", size=8)
    assert [key for key, _ in store.items()] == ["d"]
    store.put("e", "e", size=11)  # never fits
    assert store.items() == []
    store.put("f", "f", size=10)
    assert store.get("f") == "f"


def test_a_key_is_kept_once_and_counted_once():
    store = Store(max_items=9, max_bytes=10, kept_s=10)
    for value in range(5):
        store.put("a", value, size=6)
    assert store.items() == [("a", 4)]
    assert store.drop("a")
    assert not store.drop("a")


def test_open_jobs_are_bounded_and_finished_ones_make_room():
    hub = Hub(1, 1)
    keys = [new_token() for _ in range(MAX_OPEN_JOBS)]
    assert len(set(keys)) == MAX_OPEN_JOBS
    assert all(hub.submit_job(key, Job(api=0, state="queued")) for key in keys)
    assert not hub.submit_job("x", Job(api=0, state="queued"))
    assert hub.advance_job(keys[0], Job(api=0, state="done", body=b"{}"))
    assert hub.submit_job("x", Job(api=0, state="queued"))


def test_a_job_that_was_forgotten_does_not_come_back():
    hub = Hub(1, 1)
    hub.submit_job("a", Job(api=0, state="running"))
    assert hub.forget_job("a")
    assert not hub.advance_job("a", Job(api=0, state="done", body=b"{}"))
    assert hub.job("a") is None


def test_the_jobs_of_an_api_process_that_ended_fail_and_those_of_others_go_on():
    hub = Hub(2, 1)
    for key, job in {"a": Job(api=0, state="running"), "b": Job(api=1, state="queued"), "c": Job(0, "done")}.items():
        hub.submit_job(key, job)
    hub.api_started(0)
    assert [hub.job(key).state for key in "abc"] == ["failed", "queued", "done"]  # pyright: ignore
    assert hub.job("a").body == JOB_LOST  # pyright: ignore


def test_results_of_one_api_process_are_found_by_another_and_survive_its_end():
    hub = Hub(2, 1)
    hub.keep_result("a", b"vectors")
    hub.api_started(0)
    assert (hub.result("a"), hub.result("b")) == (b"vectors", None)


def test_a_job_that_is_forgotten_while_it_waits_takes_its_place_until_its_form_is_given_back():
    jobs = Jobs()
    keys = [f"job-{number}" for number in range(MAX_OPEN_JOBS)]
    assert all(jobs.submit(key, Job(api=index % 2, state="queued")) for index, key in enumerate(keys))
    assert jobs.forget(keys[0])
    assert jobs.get(keys[0]) is None
    assert not jobs.submit("next", Job(api=0, state="queued"))
    jobs.let_go(keys[0])
    assert jobs.submit("next", Job(api=0, state="queued"))
    assert jobs.forget(keys[1])
    assert not jobs.submit("another", Job(api=0, state="queued"))
    jobs.fail_all_of(1, b"{}")  # the API process that held its form has ended
    assert jobs.submit("another", Job(api=0, state="queued"))
