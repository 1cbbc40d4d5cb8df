import pytest

from glam_serve.limits import Limits, ServerOptions, Workers


@pytest.mark.parametrize("name", list(vars(Limits())))
@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_every_limit_is_above_0_and_finite(name: str, value: float):
    with pytest.raises(ValueError, match=f"^{name} "):
        Limits(**{name: value}).check()


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
