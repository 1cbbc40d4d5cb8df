import json
import logging
import sys

import pytest

from glam_serve.log import FORMATTERS, LogFormat

SECRET = "DOE^JANE"


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    return logging.getLogger("glam_serve").makeRecord(
        "glam_serve", logging.INFO, __file__, 1, message, args, None, extra=extra or None
    )


def test_a_json_line_has_time_level_message_and_the_fields_of_the_request():
    line = json.loads(FORMATTERS["json"].format(record("%s 200", "/predict", fields={"route": "/predict", "ms": 1.5})))
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "INFO", "message": "/predict 200", "route": "/predict", "ms": 1.5}


def test_a_message_of_several_lines_is_one_json_line():
    assert FORMATTERS["json"].format(record("one\ntwo")).count("\n") == 0


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_an_exception_is_its_type_and_place(log_format: LogFormat):
    entry = record("failed")
    try:
        raise RuntimeError(SECRET)
    except RuntimeError:
        entry.exc_info = sys.exc_info()
    line = FORMATTERS[log_format].format(entry)
    assert "RuntimeError at" in line
    assert SECRET not in line
