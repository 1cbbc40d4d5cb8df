"""What an engine adds to a row, and its memory, at few rows; a short version of the rates."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from bench.cohort_rates import Alone, items_of, recipe_of, run_rate
from bench.cohort_rows import in_process, row_figures
from glam.bundle import DEMO_BUNDLE
from glam.phantom.exam import write_exams
from tests.samples.kills import ROOT
from tests.samples.own_memory import forget_peak, peak_bytes

MOST_GROWTH_MB = 60.0
"""From a thousand rows to ten thousand: 44 were measured, most of them the plan's; 4 kB a row that stay add 35."""


def test_memory_stays_flat_from_a_thousand_rows_to_ten_thousand():
    few, many = in_process("local", 1_000), in_process("local", 10_000)
    assert many["memory_mb"] - few["memory_mb"] < MOST_GROWTH_MB
    assert many["s_a_row"] < 0.1


def test_the_memory_of_a_process_is_not_that_of_its_parent():
    """What getrusage tells of a process begins with its parent's: in this one, growth of a child would not be seen."""
    held = np.ones(40 << 20)
    code = "from tests.samples.own_memory import peak_bytes; print(peak_bytes())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) < held.nbytes // 2
    assert peak_bytes() > held.nbytes
    del held
    now = forget_peak()
    np.ones(20 << 20)
    assert peak_bytes() - now > 100 << 20


def test_the_figures_of_an_engine_are_beside_those_of_a_loop():
    figures = row_figures([1_000], engines=["loop", "local"], rounds=1)
    assert figures["rows"] == 1_000
    assert figures["s_a_row_of_the_loop"] > 0
    assert set(figures["s_a_row_more"]) == set(figures["memory_mb"]) == {"local"}


def test_a_run_and_a_process_alone_are_timed_over_the_same_items(tmp_path: Path):
    manifest = write_exams(tmp_path / "phantoms", num_exams=1, seed=5)
    (tmp_path / "store").mkdir()
    rate = run_rate(recipe_of(DEMO_BUNDLE, workers=1), items_of(manifest), tmp_path / "store", seconds=0.1)
    assert rate["items_per_s"] > 0
    assert rate["cpu_s"] > 0
    alone = Alone(DEMO_BUNDLE, manifest).run(0.0, tmp_path / "store")
    assert alone["items"] == 8
    assert set(alone["cpu_s"]) == {"read", "model", "write"}
