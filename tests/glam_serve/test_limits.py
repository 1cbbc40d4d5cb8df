import pytest

from glam_serve.limits import Limits, ServerOptions, Workers


@pytest.mark.parametrize("name", list(vars(Limits())))
@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_every_limit_is_above_0_and_finite(name: str, value: float):
    with pytest.raises(ValueError, match=f"^{name} "):
        Limits(**{name: value}).check()


@pytest.mark.parametrize("name", list(vars(Limits())))
@pytest.mark.parametrize("value", [1e9 + 1, 10**400])
def test_a_limit_of_any_size_is_a_limit_or_refused(name: str, value: float):
    with pytest.raises(ValueError, match=f"^{name} .* is not above 0 and at most 1e.09$"):
        Limits(**{name: value}).check()


@pytest.mark.parametrize(
    ("share", "places", "most"),
    [
        (0.5, 64, 32),
        (0.5, 1, 1),
        (0.5, 3, 1),
        (1, 3, 3),
        (0.29, 100, 29),
        (1e-9, 64, 1),
        (0.34, 3, 1),
        (1, 10**9, 10**9),
    ],
)
def test_a_caller_has_its_share_and_one_place_at_the_least(share: float, places: int, most: int):
    limits = Limits(caller_share=share, max_waiting=places)
    limits.check()
    assert limits.max_waiting_of_caller == most


def test_a_caller_may_always_send_the_largest_request():
    limits = Limits(max_upload_mb=100, max_spool_mb=120)
    assert limits.max_spool_bytes_of_caller == limits.max_upload_bytes
    assert Limits(max_upload_mb=100, max_spool_mb=1000).max_spool_bytes_of_caller == 500 << 20


def test_a_share_above_all_is_refused():
    with pytest.raises(ValueError, match=r"^caller_share 1.5 is above 1, which is all that there is$"):
        Limits(caller_share=1.5).check()


def test_the_largest_request_must_fit_into_what_is_held_together():
    with pytest.raises(ValueError, match="could never be taken"):
        Limits(max_upload_mb=100, max_spool_mb=99).check()
    limits = Limits(max_upload_mb=100, max_spool_mb=100)
    limits.check()
    assert limits.max_upload_bytes == limits.max_spool_bytes == 100 * 1024 * 1024


@pytest.mark.parametrize("name", ["num_workers", "num_apis"])
@pytest.mark.parametrize("value", [0, 65])
def test_there_are_1_to_64_processes_of_a_kind(name: str, value: int):
    with pytest.raises(ValueError, match=f"^{name.removeprefix('num_')} {value} is not between 1 and 64"):
        Workers(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("threads", threads) for threads in (0, -3, 1025)),
        *(("max_batch", views) for views in (0, -1, 4097)),
        *(("batch_wait_s", seconds) for seconds in (-0.001, 10.001, float("nan"), float("inf"), float("-inf"))),
    ],
)
def test_numbers_of_workers_that_have_no_meaning_are_refused(name: str, value: float):
    with pytest.raises(ValueError, match=f"^{name} {value:g} is not between "):
        Workers(**{name: value})


def test_the_least_and_the_largest_numbers_of_workers_are_taken():
    assert Workers(threads=1, max_batch=1, batch_wait_s=0).threads == 1
    assert Workers(threads=1024, max_batch=4096, batch_wait_s=10).max_batch == 4096
    assert Workers().threads is None


@pytest.mark.parametrize("megabytes", [-1, (1 << 20) + 1])
def test_the_cache_is_bounded(megabytes: int):
    with pytest.raises(ValueError, match=f"^cache_mb {megabytes} "):
        ServerOptions(cache_mb=megabytes)
