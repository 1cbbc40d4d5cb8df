"""Weights & Biases by a stub in its place: what it is told, and that it is not told to send anything unasked."""

import sys
from contextlib import closing
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from glam_train.data.cache import describe_cache
from glam_train.data.vocabulary import report_vocabulary
from glam_train.pretraining.loop import LoopOptions, pretrain
from glam_train.pretraining.metrics_log import MetricsLog
from glam_train.pretraining.run_folder import RunError, start_run
from glam_train.pretraining.tracker import open_tracker


class Stub(ModuleType):
    """A module wandb that notes what is asked of it."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.started: dict[str, Any] = {}
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.finished = 0

    def Settings(self, **settings: Any) -> dict[str, Any]:
        return settings

    def init(self, **options: Any) -> SimpleNamespace:
        self.started = options
        return SimpleNamespace(log=lambda values, step: self.logged.append((step, values)), finish=self._finish)

    def _finish(self) -> None:
        self.finished += 1


@pytest.fixture
def wandb(monkeypatch) -> Stub:
    stub = Stub()
    monkeypatch.setitem(sys.modules, "wandb", stub)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "true")
    return stub


def test_a_record_is_kept_on_this_machine_and_nothing_is_sent(wandb, tmp_path, toy_config):
    import os

    with closing(MetricsLog(tmp_path, start_step=0, tracker=open_tracker("wandb", tmp_path, toy_config, online=False))):
        pass
    assert wandb.started["mode"] == "offline"
    assert wandb.started["dir"] == str(tmp_path)
    assert wandb.started["group"] == tmp_path.name
    assert wandb.started["config"] == toy_config.as_json()
    assert wandb.started["settings"] == {"console": "off", "save_code": False, "disable_git": True}
    assert os.environ["WANDB_ERROR_REPORTING"] == "false"
    assert wandb.finished == 1


def test_it_is_sent_where_that_is_asked_for(wandb, tmp_path, toy_config):
    open_tracker("wandb", tmp_path, toy_config, online=True)
    assert wandb.started["mode"] == "online"


def test_a_run_tells_it_what_it_writes_itself(wandb, tmp_path, toy_cache, toy_config):
    config = replace(toy_config, steps=2)
    words = report_vocabulary(toy_cache.records, style="glam")
    start_run(tmp_path / "run", config, data=describe_cache(toy_cache), tokenizer=words)
    pretrain(tmp_path / "run", toy_cache, LoopOptions(device="cpu", log_every=1, log="wandb"))
    assert [step for step, _ in wandb.logged] == [0, 1]
    assert {"total", "view", "learning_rate"} <= set(wandb.logged[0][1])
    assert wandb.finished == 1


def test_a_run_that_is_not_asked_for_it_does_not_import_it(monkeypatch, tmp_path, toy_config):
    monkeypatch.setitem(sys.modules, "wandb", None)  # importing it is an error
    assert open_tracker(None, tmp_path, toy_config, online=False) is None
    with pytest.raises(RunError, match="wandb is not installed: pip install wandb, or leave out --log wandb"):
        LoopOptions(log="wandb")  # before a run is begun


def test_nothing_can_be_sent_that_is_not_recorded():
    with pytest.raises(ValueError, match="--wandb-online sends what --log wandb records: give both"):
        LoopOptions(wandb_online=True)
