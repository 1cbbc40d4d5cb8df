"""Uploaded files: read once, and gone."""

import os
from pathlib import Path

import pytest

from glam_ui.answers import Upload
from glam_ui.uploads import Arrived, GoneError, taken

NAME = "DOE^JANE 1961.dcm"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of uploads, as Gradio fills it: each file in a folder named by its content."""
    monkeypatch.setitem(os.environ, "GRADIO_TEMP_DIR", str(tmp_path))
    return tmp_path


def upload(folder: Path, content: str) -> str:
    path = folder / f"of-{content}" / NAME
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    return str(path)


def test_files_are_read_and_nothing_of_them_stays(folder: Path):
    paths = [upload(folder, "one"), upload(folder, "two")]
    assert [(file.content, file.name) for file in taken(paths)] == [(b"one", NAME), (b"two", NAME)]
    assert list(folder.rglob("*")) == []


def test_an_upload_of_somebody_else_of_which_nothing_has_come_yet_stays(folder: Path):
    (folder / "tmp-begun").touch()
    taken([upload(folder, "one")])
    assert [path.name for path in folder.iterdir()] == ["tmp-begun"]


def test_uploads_are_held_as_far_as_there_is_room_for_them_and_the_oldest_go():
    arrived = Arrived(max_bytes=100)
    first, second = (arrived.put(Upload(content=content * 60, name=NAME)) for content in (b"1", b"2"))
    assert arrived.num_bytes() == 60
    with pytest.raises(GoneError):
        arrived.uploads([second, first])
    (held,) = arrived.uploads([second])
    assert (held.content, held.name) == (b"2" * 60, NAME)
    arrived.drop([first, second])
    assert arrived.num_bytes() == 0
    assert "DOE" not in repr(second)


def test_a_file_that_was_dropped_twice_comes_twice(folder: Path):
    path = upload(folder, "one")
    assert [file.content for file in taken([path, path])] == [b"one", b"one"]
    assert list(folder.rglob("*")) == []


def test_a_file_that_is_gone_is_told_without_its_name_and_the_others_go_too(folder: Path):
    paths = [upload(folder, "one"), str(folder / "of-two" / NAME)]
    with pytest.raises(GoneError) as refusal:
        taken(paths)
    assert "DOE" not in str(refusal.value)
    assert refusal.value.__suppress_context__
    assert list(folder.rglob("*")) == []


def test_no_file_is_no_upload():
    assert taken(None) == []


def test_what_is_no_upload_is_neither_read_nor_removed(folder: Path, tmp_path_factory: pytest.TempPathFactory):
    elsewhere = tmp_path_factory.mktemp("records") / NAME
    elsewhere.write_text("somebody's")
    of_reader = upload(folder, "one")
    with pytest.raises(GoneError):
        taken([of_reader, str(elsewhere)])
    assert elsewhere.read_text() == "somebody's"
