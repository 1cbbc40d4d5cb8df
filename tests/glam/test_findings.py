import pickle
from pathlib import Path

from glam.findings import CODES, finding, input_error


def test_every_code_has_a_sentence_and_a_status_of_the_callers() -> None:
    for code, meaning in CODES.items():
        assert meaning.sentence, code
        assert 400 <= meaning.status < 500 if meaning.severity == "error" else meaning.status == 200, code


def test_every_code_is_tripped_by_some_test() -> None:
    tests = [path.read_text() for path in Path(__file__).parents[1].rglob("test_*.py") if path != Path(__file__)]
    assert [code for code in CODES if not any(f'"{code}"' in text for text in tests)] == []


def test_an_error_survives_the_way_between_processes() -> None:
    error = input_error("too_large", "cc", part="file", limit="160 MB")
    back = pickle.loads(pickle.dumps(error))
    assert (back.code, back.message, back.where, back.status) == ("too_large", error.message, "cc", 413)
    assert str(back) == ("cc: the file is too large, over 160 MB: send one 2-D mammogram as the device made it")


def test_a_finding_carries_its_severity_from_the_table() -> None:
    assert finding("burned_in").severity == "warning"
    assert finding("no_spacing").severity == "info"
