"""Folders of one process are gone with it, however it ends."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from glam.own_folder import LOCK, own_folder, remove_left

OWNER = """
import sys, time
from pathlib import Path
from glam.own_folder import own_folder
with own_folder("mine-", within=Path(sys.argv[1])) as folder:
    (folder / "of a patient").write_text("pixels")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that has a folder in `tmp_path`, and the folder."""
    command = [sys.executable, "-c", OWNER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def test_a_folder_is_its_users_alone_and_gone_at_the_end(tmp_path: Path):
    with own_folder("mine-", within=tmp_path) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert [path.name for path in folder.iterdir()] == [LOCK]
        (folder / "file").write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_whose_owner_lives_stays(owner: tuple[subprocess.Popen[str], Path], tmp_path: Path):
    _, folder = owner
    with own_folder("mine-", within=tmp_path):
        assert (folder / "of a patient").exists()


def test_a_folder_whose_owner_was_killed_is_removed_when_the_next_one_is_made(
    owner: tuple[subprocess.Popen[str], Path], tmp_path: Path
):
    process, left = owner
    process.kill()
    process.wait()
    assert (left / "of a patient").exists()
    with own_folder("mine-", within=tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_lasts_as_long_as_a_process_forked_from_its_owner(tmp_path: Path):
    code = OWNER.replace(
        "    time.sleep(60)", "    import os; pid = os.fork(); pid and print(pid, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        folder, forked = Path(process.stdout.readline().strip()), int(process.stdout.readline() or 0)
        forked = forked or int(process.stdout.readline())
        process.kill()
        process.wait()
        try:
            remove_left("mine-", tmp_path)
            assert folder.exists()
        finally:
            os.kill(forked, 9)


def test_what_is_not_known_to_be_left_is_not_touched(tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / LOCK).touch()
    (tmp_path / "mine-link").symlink_to(elsewhere)
    (tmp_path / "mine-without-a-lock").mkdir()
    (tmp_path / "mine-file").write_text("x")
    before = sorted(tmp_path.rglob("*"))
    remove_left("mine-", tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_was_written_after_the_end_is_removed_when_it_has_been_there_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with own_folder("mine-", within=tmp_path) as folder:
        pass
    folder.mkdir()  # by a process that the owner did not wait for
    (folder / "counter.db").touch()
    remove_left("mine-", tmp_path)
    assert folder.exists()
    monkeypatch.setattr("glam.own_folder.MADE_WITHIN_S", -1.0)
    remove_left("mine-", tmp_path)
    assert not folder.exists()
