"""Workers of a run of the tests share what they read."""

from pathlib import Path
from threading import Thread

import pytest

from tests.samples.shared import made_once


class Factory:
    """The part of a factory of folders that is asked: where a worker's lie."""

    def __init__(self, base: Path) -> None:
        base.mkdir()
        self.base = base

    def getbasetemp(self) -> Path:
        return self.base


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Factory]:
    """Those of two workers of a run."""
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    return [Factory(tmp_path / name) for name in ("gw0", "gw1")]


def test_the_first_worker_makes_it_and_the_others_get_the_same(factories: list[Factory]):
    made: list[Path] = []
    folders: list[Path] = []

    def ask(factory: Factory) -> None:
        folders.append(made_once(factory, "bundle", lambda folder: made.append(folder) or (folder / "a").touch()))

    threads = [Thread(target=ask, args=(factory,)) for factory in factories]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert folders == made * 2
    assert [path.name for path in folders[0].iterdir()] == ["a"]


def test_what_failed_in_the_middle_is_made_anew_by_the_next(factories: list[Factory]):
    def fails(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        made_once(factories[0], "bundle", fails)
    folder = made_once(factories[1], "bundle", lambda folder: (folder / "whole").touch())
    assert [path.name for path in folder.iterdir()] == ["whole"]
