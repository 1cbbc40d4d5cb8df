"""When a run saves and what each of its processes does then; real ones are in test_stopped.py."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from glam_train.pretraining import keeper
from glam_train.pretraining.distributed import Ranks
from glam_train.pretraining.errors import RunEnded, RunError, Stopped
from glam_train.pretraining.keeper import Keeper


@dataclass(frozen=True, kw_only=True)
class Two(Ranks):
    """Two processes, of which the other one raises these flags in turn."""

    world: int = 2
    others: list[list[bool]] = field(default_factory=list)

    def agree(self, flags: Sequence[bool]) -> list[bool]:
        return [ours or theirs for ours, theirs in zip(flags, self.others.pop(0), strict=True)]


@pytest.fixture
def written(monkeypatch):
    """The steps at which a checkpoint is written."""
    steps = []

    def save_state(folder, state, *, step, tokenizer):
        if step == 13:
            raise RunError("no room")
        steps.append(step)

    monkeypatch.setattr(keeper, "save_state", save_state)
    return steps


def keeper_of(tmp_path, ranks, *, steps=100, save_every=None):
    run = SimpleNamespace(config=SimpleNamespace(steps=steps), tokenizer=tmp_path / "tokenizer.json")
    return Keeper(tmp_path, run, None, ranks, save_every=save_every, stop_after_s=None)


def test_a_process_that_does_not_write_waits_until_the_first_one_has(tmp_path, written):
    ranks = Two(rank=1, others=[[True, False, False], [False]])
    with pytest.raises(Stopped, match=r"stopped by a signal after 5 updates. Saved as .*step-0000005"):
        keeper_of(tmp_path, ranks).after(4, [])
    assert ranks.others == []
    assert written == []


def test_a_checkpoint_that_the_first_process_cannot_write_ends_the_others(tmp_path, written):
    with pytest.raises(RunEnded, match="checkpoint 5 cannot be written by the first process"):
        keeper_of(tmp_path, Two(rank=1, others=[[False, False, True], [True]])).after(4, [])
    with pytest.raises(RunError, match="no room") as failed:
        keeper_of(tmp_path, Two(rank=0, others=[[False, False, True], [False]])).after(12, [])
    assert not isinstance(failed.value, RunEnded)


def test_a_process_that_fails_alone_does_not_wait_for_the_others(tmp_path, written):
    ranks = Two(rank=0, others=[])
    assert keeper_of(tmp_path, ranks).save_alone(7).endswith("step-0000007: go on with --resume")
    assert written == [7]


@pytest.mark.parametrize(("save_every", "expected"), [(2, [2, 4, 5]), (100, [5]), (None, [5])])
def test_a_run_saves_at_intervals_and_at_its_end(tmp_path, written, save_every, expected):
    kept = keeper_of(tmp_path, Ranks(), steps=5, save_every=save_every)
    assert [kept.after(step, []) for step in range(5)] == [False] * 5
    assert written == expected


def test_a_signal_during_the_last_update_ends_the_run_as_finished(tmp_path, written):
    assert keeper_of(tmp_path, Ranks(), steps=5).after(4, [15]) is False
    assert written == [5]
