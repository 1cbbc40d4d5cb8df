"""Whether there is room for a request, by what all API processes have taken."""

import pytest

from glam_serve.errors import Refusal
from glam_serve.exchange import check_places, check_spool
from glam_serve.limits import Limits
from glam_serve.vitals import SharedLoad, Vitals

ANNE, BERT, CLARA = 11, 22, 33
LIMITS = Limits(max_waiting=8, max_upload_mb=1, max_spool_mb=4)
MB = 1 << 20


@pytest.fixture
def loads() -> tuple[SharedLoad, SharedLoad]:
    """Of two API processes."""
    vitals = Vitals(num_apis=2, num_workers=1)
    return SharedLoad(vitals, 0), SharedLoad(vitals, 1)


def place_of(load: SharedLoad, caller: int) -> str:
    """ "" where there is a place, or the code of the refusal."""
    try:
        check_places(load, LIMITS, caller)
    except Refusal as refusal:
        return refusal.code
    return ""


def room_of(load: SharedLoad, caller: int, more: int) -> str:
    try:
        check_spool(load, LIMITS, caller, more=more)
    except Refusal as refusal:
        return refusal.code
    return ""


def test_one_caller_may_have_half_of_the_places_and_two_may_have_all(loads: tuple[SharedLoad, SharedLoad]):
    for load in (*loads, *loads):
        assert place_of(load, ANNE) == ""
        load.add(ANNE, waiting=1)
    assert {place_of(load, ANNE) for load in loads} == {"too_many_of_caller"}
    for load in (*loads, *loads):
        assert place_of(load, BERT) == ""
        load.add(BERT, waiting=1)
    assert {place_of(load, caller) for load in loads for caller in (ANNE, CLARA)} == {"too_many_requests"}
    loads[0].add(BERT, waiting=-1)
    assert [place_of(loads[1], caller) for caller in (ANNE, BERT, CLARA)] == ["too_many_of_caller", "", ""]


def test_one_caller_may_have_half_of_the_room_for_uploads(loads: tuple[SharedLoad, SharedLoad]):
    for load in loads:
        assert room_of(load, ANNE, MB) == ""
        load.add(ANNE, spooled=MB)
    assert room_of(loads[0], ANNE, 0) == ""
    assert room_of(loads[0], ANNE, 1) == "too_many_of_caller"
    assert room_of(loads[0], BERT, 2 * MB) == ""
    loads[0].add(BERT, spooled=2 * MB)
    assert {room_of(load, caller, 1) for load in loads for caller in (ANNE, BERT, CLARA)} == {"busy"}


def test_a_caller_of_nothing_may_send_the_largest_request_however_small_its_share(loads: tuple[SharedLoad, SharedLoad]):
    limits = Limits(max_waiting=1, max_upload_mb=4, max_spool_mb=4, caller_share=0.001)
    check_places(loads[0], limits, ANNE)
    check_spool(loads[0], limits, ANNE, more=limits.max_upload_bytes)
