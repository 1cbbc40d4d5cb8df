"""The process of the hub, where it cannot start."""

import errno
from multiprocessing.process import BaseProcess

import pytest

from glam_serve.hub_process import HubHangsError, start_hub
from glam_serve.vitals import Vitals


def test_a_machine_without_room_for_a_process_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch):
    def refuse(_: BaseProcess) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(BaseProcess, "start", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        start_hub(Vitals(num_apis=1, num_workers=1))


def test_a_path_that_is_too_long_for_a_socket_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("multiprocessing.connection.arbitrary_address", lambda family: "/tmp/" + "x" * 200)
    with pytest.raises(HubHangsError, match=r"AF_UNIX path too long in .*: let TMPDIR name a folder of fewer"):
        start_hub(Vitals(num_apis=1, num_workers=1))
