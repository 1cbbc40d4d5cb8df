"""Who asks."""

from typing import Any

import pytest

from glam_serve.callers import caller_of
from glam_serve.keys import ApiKeys

FIRST, SECOND = "key-of-sixteen-characters", "another-key-of-some-length"


def scope(address: str | None = "192.0.2.1", **headers: str) -> dict[str, Any]:
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "headers": sent, "client": address and (address, 1234)}


def of(*words: str | None, keys: ApiKeys | None = None, **headers: str) -> int:
    return caller_of(scope(*words, **headers), keys or ApiKeys())


def test_a_key_is_one_caller_from_wherever_and_in_whichever_header_it_comes():
    keys = ApiKeys([FIRST, SECOND])
    ways = [of(keys=keys, x_api_key=FIRST), of("2001:db8::1", keys=keys, authorization=f"Bearer {FIRST}")]
    assert len({*ways, of(keys=keys, x_api_key=SECOND)}) == 2


def test_a_key_that_the_server_does_not_know_makes_nobody_another_caller():
    keys = ApiKeys([FIRST])
    assert {of(keys=keys, x_api_key=f"{FIRST}{number}") for number in range(9)} == {of(keys=keys)}
    assert {of(x_api_key=f"{FIRST}{number}") for number in range(9)} == {of()}  # a server without keys


@pytest.mark.parametrize(
    "name", ["x_forwarded_for", "forwarded", "x_real_ip", "via", "x_request_id", "user_agent", "cookie", "host"]
)
def test_no_other_header_makes_another_caller(name: str):
    assert of(**{name: "192.0.2.77"}) == of()


def test_each_address_is_a_caller_of_ipv6_each_network():
    assert len({of(f"192.0.2.{number}") for number in range(9)}) == 9
    assert len({of(f"2001:db8::{number}") for number in range(9)}) == 1
    assert len({of(f"2001:db8:0:{number}::1") for number in range(9)}) == 9
    assert of("::ffff:192.0.2.1") == of("192.0.2.1")
    assert of("::ffff:192.0.2.1") != of("::ffff:192.0.2.2")


@pytest.mark.parametrize("address", [None, "", "testclient", "fe80::1%eth0", "not:an:address"])
def test_whoever_has_no_address_is_a_caller_too(address: str | None):
    assert of(address) == of(address) != 0
