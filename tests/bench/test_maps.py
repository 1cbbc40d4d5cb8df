"""The benchmark of maps, and the training before it, on a machine with neither pydicom nor tyro."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
from pathlib import Path

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("pydicom", "tyro"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())  # in the worker processes too, which run this file again
sys.path.insert(0, sys.argv[2])

if __name__ == "__main__":
    from glam_train.commands import Pretrain, PreparePhantoms
    from bench.maps import main

    folder = Path(sys.argv[1])
    PreparePhantoms(out=folder / "cache", pairs=12, workers=2).run()
    settings = {"steps": 1, "batch_size": 2, "tissue_weight": 0.3, "flip_rows": 0.5}
    Pretrain(cache=folder / "cache", out=folder / "run", preset="tiny", settings=settings, device="cpu").run()
    sys.argv[1:] = [str(folder / "run"), "--cache", str(folder / "cache"), "--held-out", str(folder / "held-out"),
                    "--pairs", "40", "--workers", "2", "--device", "cpu"]
    main()
"""


@pytest.mark.slow
def test_runs_are_trained_and_compared_without_pydicom_and_tyro(tmp_path):
    script = tmp_path / "trial.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, script, tmp_path, ROOT], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["bench"] == "maps"
    (figures,) = summary["figures"]["runs"].values()
    assert set(figures["hit_at_1"]) == {"mass", "lesion", "tissue"}
    for hits in figures["hit_at_1"].values():
        assert hits["points"] > 0
        for value, low, high in (hits["model"], hits["position_only"]):
            assert 0 <= low <= value <= high <= 1
    assert figures["breasts"] == summary["figures"]["pairs"] == 40
    assert 0 <= figures["mass_auc"][0] <= 1
    assert len(summary["goals"]) == 3
    metrics = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert {"correspondence", "correspondence_tissue", "known_findings"} <= metrics[0].keys()
