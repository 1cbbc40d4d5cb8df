"""Uploaded files: read once, and gone."""

import os
from pathlib import Path

import pytest

from glam_ui.uploads import GoneError, taken

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
    (folder / "left-by-gradio").touch()
    assert [(file.content, file.name) for file in taken(paths)] == [(b"one", NAME), (b"two", NAME)]
    assert list(folder.rglob("*")) == []


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
