import pytest

from glam.files import replacing


def test_a_file_is_put_in_place_when_its_writing_succeeds(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with replacing(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def stopped_while_writing(path):
    with replacing(path) as part:
        part.write_text("ne")
        raise KeyboardInterrupt


def test_a_file_stays_as_it_was_when_its_writing_is_stopped(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        stopped_while_writing(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
