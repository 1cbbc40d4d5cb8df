"""Short versions of the training runs that are killed thirty times."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.train_kills import kill_figures, run_to_end
from glam_train.pretraining.run_folder import checkpoints
from tests.samples.training_kills import Kills, ends_as, leftovers, look
from tests.samples.trainings import same, small_training, trained
from tests.samples.warm_training import Begin, warm_training


@pytest.fixture(scope="module")
def begin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Begin]:
    with warm_training(tmp_path_factory.mktemp("warm")) as start:
        yield start


@pytest.mark.slow
@pytest.mark.alone
def test_a_run_that_is_killed_five_times_loses_nothing_that_was_saved(begin: Begin, tmp_path: Path):
    figures = kill_figures(begin, tmp_path, kills=5, steps=60)
    assert figures["kills"] == sum(figures["kills_by_moment"].values()) == 5
    assert figures["broken"] == figures["left_over"] == []
    assert figures["ends_as_the_run_left_alone"]


@pytest.mark.slow
def test_what_a_kill_could_break_is_seen(begin: Begin, tmp_path: Path):
    training = small_training(tmp_path, steps=4)
    whole, out = tmp_path / "whole", tmp_path / "run"
    for folder in (whole, out):
        run_to_end(begin, training.arguments(folder, "--save-every", "2"))
    assert ends_as(out, whole)
    found = Kills()
    look(out, found, seen={"step-0000004"})
    assert (found.broken, found.updates_saved, found.half_saved) == ([], [4], 0)
    (out / "metrics.jsonl").write_text("")
    (out / "checkpoints" / ".step-0000005.1").mkdir()
    (checkpoints(out)[0] / "weights.safetensors").write_bytes(b"torn")
    look(out, found, seen={"step-0000004", "step-0000006"})
    assert found.broken[0] == "step-0000006 was there and is gone"
    assert "step-0000002 cannot be used" in found.broken[1]
    assert found.broken[2] == "lines of metrics are gone: [0]"
    assert (found.updates_saved, found.half_saved) == ([4, 4], 1)
    assert leftovers(out) == ["checkpoints/.step-0000005.1"]
    assert not same(trained(out), trained(whole))
