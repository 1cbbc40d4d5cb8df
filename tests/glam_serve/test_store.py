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


def queued(*, api: int = 0, caller: int = 1) -> Job:
    return Job(api=api, caller=caller, state="queued")


def test_open_jobs_are_bounded_and_finished_ones_make_room():
    hub = Hub(1, 1)
    keys = [new_token() for _ in range(MAX_OPEN_JOBS)]
    assert len(set(keys)) == MAX_OPEN_JOBS
    assert all(hub.submit_job(key, queued(), MAX_OPEN_JOBS) is None for key in keys)
    assert hub.submit_job("x", queued(), MAX_OPEN_JOBS) == "too_many_jobs"
    assert hub.advance_job(keys[0], queued()._replace(state="done", body=b"{}"))
    assert hub.submit_job("x", queued(), MAX_OPEN_JOBS) is None


def test_one_caller_has_its_part_of_the_open_jobs_and_others_have_the_rest():
    jobs = Jobs()
    assert [jobs.submit(f"a{number}", queued(caller=1), 2) for number in range(3)] == [None, None, "too_many_of_caller"]
    assert jobs.submit("b", queued(caller=2), 2) is None
    assert jobs.forget("a0")
    assert jobs.submit("a3", queued(caller=1), 2) == "too_many_of_caller"  # its form is still held
    jobs.let_go("a0")
    assert jobs.submit("a3", queued(caller=1), 2) is None
    assert jobs.advance("a3", queued(caller=1)._replace(state="failed"))
    assert jobs.submit("a4", queued(caller=1), 2) is None


def test_a_job_that_was_forgotten_does_not_come_back():
    hub = Hub(1, 1)
    hub.submit_job("a", queued()._replace(state="running"), MAX_OPEN_JOBS)
    assert hub.forget_job("a")
    assert not hub.advance_job("a", queued()._replace(state="done", body=b"{}"))
    assert hub.job("a") is None


def test_the_jobs_of_an_api_process_that_ended_fail_and_those_of_others_go_on():
    hub = Hub(2, 1)
    for key, api, state in (("a", 0, "running"), ("b", 1, "queued"), ("c", 0, "done")):
        hub.submit_job(key, Job(api=api, caller=1, state=state), MAX_OPEN_JOBS)
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
    assert all(jobs.submit(key, queued(api=index % 2), MAX_OPEN_JOBS) is None for index, key in enumerate(keys))
    assert jobs.forget(keys[0])
    assert jobs.get(keys[0]) is None
    assert jobs.submit("next", queued(), MAX_OPEN_JOBS) == "too_many_jobs"
    jobs.let_go(keys[0])
    assert jobs.submit("next", queued(), MAX_OPEN_JOBS) is None
    assert jobs.forget(keys[1])
    assert jobs.submit("another", queued(), MAX_OPEN_JOBS) == "too_many_jobs"
    jobs.fail_all_of(1, b"{}")  # the API process that held its form has ended
    assert jobs.submit("another", queued(), MAX_OPEN_JOBS) is None
