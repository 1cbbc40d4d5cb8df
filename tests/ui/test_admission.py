from base64 import b64encode
from pathlib import Path

import pytest

from glam_ui.admission import ByPassword, ByProxy
from glam_ui.cli import Viewer


def basic(name: str, password: str) -> dict[bytes, bytes]:
    return {b"authorization": b"Basic " + b64encode(f"{name}:{password}".encode())}


@pytest.fixture
def passwords(tmp_path: Path) -> Path:
    path = tmp_path / "passwords"
    path.write_text("reader:correct horse: battery\nmüller:zwölf Zeichen lang\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def test_the_right_password_of_the_right_user_lets_in(passwords: Path):
    admission = ByPassword.from_file(passwords)
    assert admission.user(basic("reader", "correct horse: battery")) == "reader"
    assert admission.user(basic("müller", "zwölf Zeichen lang")) == "müller"
    for name, password in (("reader", ""), ("reader", "zwölf Zeichen lang"), ("", ""), ("nobody", ""), ("nobody", "x")):
        assert admission.user(basic(name, password)) is None


@pytest.mark.parametrize(
    "sent", [b"", b"Basic", b"Basic !!!", b"Basic " + b64encode(b"\xff\xfe"), b"Bearer x", b"basic a"]
)
def test_what_is_no_name_and_password_lets_nobody_in(passwords: Path, sent: bytes):
    assert ByPassword.from_file(passwords).user({b"authorization": sent}) is None
    assert ByPassword.from_file(passwords).user({}) is None


def test_passwords_are_not_shown(passwords: Path):
    assert "horse" not in repr(ByPassword.from_file(passwords))


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("reader:long enough password\n", 0o644, "chmod 600"),
        ("reader:short\n", 0o600, "12 or more"),
        ("reader\n", 0o600, "NAME:PASSWORD"),
        ("\n\n", 0o600, "names nobody"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, text: str, mode: int, words: str):
    path = tmp_path / "passwords"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(ValueError, match=words):
        ByPassword.from_file(path)


def test_a_proxy_names_the_user_whatever_the_case_of_its_header():
    assert ByProxy("X-Forwarded-User").user({b"x-forwarded-user": b"reader"}) == "reader"
    assert ByProxy("X-Forwarded-User").user({b"x-forwarded-user": b""}) is None
    assert ByProxy("X-Forwarded-User").user({}) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "viewer.hospital"])
def test_an_address_that_others_reach_asks_for_a_way_to_let_them_in(host: str):
    with pytest.raises(ValueError, match=r"--passwords FILE, or --auth-header"):
        Viewer(host=host).run()


def test_two_ways_to_let_users_in_are_refused(passwords: Path):
    with pytest.raises(ValueError, match="choose one"):
        Viewer(auth_header="X-User", passwords=passwords).run()
