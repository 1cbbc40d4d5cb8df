import json
from pathlib import Path

import pytest

from bench import page
from bench.report import goal


def test_the_page_tells_goals_figures_and_where_they_were_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = {
        "bench": "toy",
        "commit": "abc",
        "machine": "here",
        "figures": {"ratio": {"CC": 1.5, "MLO": 2}, "rounds": 3},
        "goals": {"fast": goal(1.5, at_most=1.3).as_json(), "small": goal(2, at_least=1).as_json()},
    }
    (tmp_path / "toy.json").write_text("progress\n" + json.dumps(summary) + "\n")
    monkeypatch.setattr("sys.argv", ["page", str(tmp_path / "toy.json")])
    page.main()
    text = capsys.readouterr().out
    assert "| fast | 1.5 | 1.3 | no |" in text
    assert "| small | 2 | 1 | yes |" in text
    assert "| ratio, CC | 1.5 |" in text
    assert "commit abc, here" in text
