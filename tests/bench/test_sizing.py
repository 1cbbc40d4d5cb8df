"""The sizing table of docs/operate.md."""

from pathlib import Path

import pytest

from bench.serve import Pair
from bench.sizing import Layout, Size, layouts, on_page, size_of, table
from glam.bundle import Bundle
from tests.samples.serving import Kind

pytestmark = pytest.mark.alone

CPU_S: dict[Kind, float] = {"hub": 0.01, "api": 0.15, "worker": 0.04}
MB: dict[Kind, float] = {"hub": 20, "api": 100, "worker": 180}


@pytest.mark.parametrize(
    ("cores", "expected"),
    [
        (1, [(1, 1, 1), (1, 1, 2)]),
        (2, [(1, 1, 2), (2, 1, 1), (2, 2, 1)]),
        (16, [(1, 1, 16), (16, 1, 1), (16, 16, 1), (8, 8, 2)]),
        (200, [(1, 1, 200), (64, 1, 1), (64, 64, 1), (64, 64, 2)]),
    ],
)
def test_layouts_are_such_as_the_server_takes_each_once(cores: int, expected: list[tuple[int, int, int]]):
    assert [(layout.workers, layout.apis, layout.threads) for layout in layouts(cores)] == expected


def test_other_machines_follow_from_the_cheapest_row():
    cheap = Size(layout=Layout(workers=2, apis=2, threads=1), pairs_per_s=8.0, cpu_s=CPU_S, mb=MB)
    dear = Size(layout=Layout(workers=1, apis=1, threads=2), pairs_per_s=7.0, cpu_s=CPU_S | {"api": 0.3}, mb=MB)
    part = table([dear, cheap], "Measured by us.")
    assert part.startswith("Measured by us.\n\n| `--workers` |")
    assert "| 1 | 1 | 2 | 7.00 | 0.300, 0.040 | 20, 100, 180 |\n" in part
    assert "0.8 x cores / 0.200 pairs a second" in part
    assert "20 + 100 x `--apis` + 180 x `--workers` MB" in part
    assert "| 16 | 64.0 | 4500 |\n" in part


def test_the_part_is_put_between_its_marks_as_often_as_it_is_measured():
    page = "# Size\n<!-- sizing -->\nold\n<!-- end of sizing -->\nrest\n"
    for part in (r"new \1", "newer"):
        page = on_page(page, f"{part}\n")
        assert page == f"# Size\n<!-- sizing -->\n{part}\n<!-- end of sizing -->\nrest\n"
    with pytest.raises(ValueError, match="has no <!-- sizing -->"):
        on_page("# Size\n", "new")
    assert on_page((Path(__file__).parents[2] / "docs" / "operate.md").read_text(), "new")


@pytest.mark.slow
def test_a_server_is_measured_under_load(random_bundle: Bundle, mammograms: dict[str, Path], tmp_path: Path):
    pair = Pair(mammograms["L_CC"], mammograms["L_MLO"])
    layout = Layout(workers=1, apis=2, threads=1)
    size = size_of(random_bundle.folder, tmp_path / "log", pair, layout, seconds=2)
    assert size.pairs_per_s > 0
    assert min(size.cpu_s.values()) > 0
    assert min(size.mb.values()) > 5
    assert size.mb["worker"] > size.mb["hub"]
