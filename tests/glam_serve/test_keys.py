from pathlib import Path

import pytest

from glam_serve.keys import ApiKeys

FIRST, SECOND = "key-of-sixteen-characters", "another-key-of-some-length"


def headers(**values: str) -> dict[bytes, bytes]:
    return {name.replace("_", "-").encode(): value.encode() for name, value in values.items()}


def test_without_keys_everybody_may_ask():
    assert ApiKeys().accepts({})
    assert not ApiKeys()


@pytest.mark.parametrize("key", [FIRST, SECOND])
def test_every_key_of_a_file_is_taken_in_both_headers(tmp_path: Path, key: str):
    (tmp_path / "keys").write_text(f"# ward 3\n{FIRST}\n\n  {SECOND}  \n")
    keys = ApiKeys.from_file(tmp_path / "keys")
    assert keys
    assert keys.accepts(headers(x_api_key=key))
    assert keys.accepts(headers(authorization=f"Bearer {key}"))
    assert keys.accepts(headers(authorization=f"bearer  {key}"))


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"x_api_key": ""},
        {"x_api_key": FIRST[:-1]},
        {"x_api_key": FIRST + " "},
        {"x_api_key": FIRST.upper()},
        {"x_api_key": "wrong", "authorization": f"Bearer {FIRST}"},
        {"authorization": FIRST},
        {"authorization": f"Basic {FIRST}"},
        {"authorization": "Bearer"},
        {"x_api_key": "\xe9"},
    ],
)
def test_nothing_else_is_taken(sent: dict[str, str]):
    assert not ApiKeys([FIRST]).accepts(headers(**sent))


@pytest.mark.parametrize(
    "key", ["short", "with a blank in it, long", "ключ-достаточной-длины", "tab\tin-a-key-of-length"]
)
def test_a_weak_or_unsendable_key_is_refused_by_its_number_and_not_repeated(key: str):
    with pytest.raises(ValueError, match="key 2 is not 16 or more ASCII characters") as error:
        ApiKeys([FIRST, key])
    assert key not in str(error.value)


def test_a_file_without_a_key_is_refused(tmp_path: Path):
    (tmp_path / "keys").write_text("# none yet\n\n")
    with pytest.raises(ValueError, match="holds no key"):
        ApiKeys.from_file(tmp_path / "keys")


def test_a_file_that_is_no_text_is_named(tmp_path: Path):
    (tmp_path / "keys").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"keys is no text: write one key a line"):
        ApiKeys.from_file(tmp_path / "keys")


def test_the_keys_themselves_are_not_kept():
    assert FIRST not in repr(vars(ApiKeys([FIRST])))
