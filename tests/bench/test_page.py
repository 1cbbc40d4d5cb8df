import json
from pathlib import Path
from typing import Any

import pytest

from bench import page
from bench.report import goal, print_summary


def summary(bench: str, **changed: Any) -> dict[str, Any]:
    return {
        "bench": bench,
        "commit": "abc",
        "machine": "here",
        "figures": {"ratio": {"CC": 1.5, "MLO": 2}, "rounds": 3},
        "goals": {"fast": goal(1.5, at_most=1.3).as_json(), "small": goal(2, at_least=1).as_json()},
    } | changed


def written(folder: Path, *summaries: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> str:
    paths = [folder / f"{number}.json" for number in range(len(summaries))]
    for path, one in zip(paths, summaries, strict=True):
        path.write_text("progress\n" + json.dumps(one) + "\n")
    monkeypatch.setattr("sys.argv", ["page", str(folder / "page.md"), *map(str, paths)])
    page.main()
    return (folder / "page.md").read_text()


def test_the_page_tells_goals_figures_and_where_they_were_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = written(tmp_path, summary("toy", arguments=["--rounds", "3"]), monkeypatch=monkeypatch)
    assert "| fast | 1.5 | 1.3 | no |" in text
    assert "| small | 2 | 1 | yes |" in text
    assert "| ratio, CC | 1.5 |" in text
    assert "`python -m bench.toy --rounds 3`, commit abc, here" in text


def test_a_section_takes_the_place_of_the_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, summary("toy"), summary("boat", goals={}), monkeypatch=monkeypatch)
    text = written(tmp_path, summary("toy", commit="new"), summary("car"), monkeypatch=monkeypatch)
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# Benchmarks",
        "## toy",
        "## boat",
        "## car",
    ]
    assert "`python -m bench.toy`, commit new, here" in text
    assert text.count("commit abc") == 2
    assert "| goal |" not in text.split("## boat")[1].split("## car")[0]


def test_a_summary_names_the_arguments_but_no_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["toy", "--out", "/elsewhere/toy.json"])
    print_summary("toy", {}, {})
    assert json.loads(capsys.readouterr().out)["arguments"] == ["--out", "toy.json"]
