"""The lines and events of a run, whoever stopped it."""

import json
from contextlib import closing

import pytest

from glam_train.pretraining.metrics_log import MetricsLog


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_values_are_appended_as_a_line_and_an_event(tmp_path):
    with closing(MetricsLog(tmp_path, start_step=0)) as log:
        log.write(3, {"total": 1.5})
    assert lines(tmp_path) == [{"step": 3, "total": 1.5}]
    assert list((tmp_path / "tensorboard").glob("events.*"))


def test_lines_beyond_the_step_to_resume_at_and_a_torn_last_one_are_dropped(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 0}\n{"step": 10}\n{"step": 20}\n{"st')
    with closing(MetricsLog(tmp_path, start_step=20)):
        pass
    assert [line["step"] for line in lines(tmp_path)] == [0, 10]


def test_a_value_that_is_not_finite_is_never_written(tmp_path):
    with closing(MetricsLog(tmp_path, start_step=0)) as log, pytest.raises(ValueError, match="not JSON compliant"):
        log.write(0, {"total": float("nan")})
