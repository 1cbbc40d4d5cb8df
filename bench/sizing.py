"""The sizing table of docs/operate.md: pairs a second, CPU seconds a pair and memory, by the processes of a server.

python -m bench.sizing [--quick] [--page docs/operate.md] [--cc CC.dcm --mlo MLO.dcm] [--bundle FOLDER]

Each row is a server of its own under a closed loop of four clients a core. CPU seconds are what processes have taken,
which other work on the machine changes little; it lowers pairs a second, and `busy_elsewhere` says how much there was.
Memory is the proportional set size (proc(5), smaps_rollup) under that load: of what processes share, each has its part.
"""

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.report import print_summary
from bench.serve import LEAD_S, Pair, busy_elsewhere, load, pair_of, steady
from glam.bundle import DEMO_BUNDLE, read_bundle
from glam.origin import commit, machine
from tests.samples.serving import ONE_CALLER, Kind, RealServer, of_proc, running

CORES = os.cpu_count() or 1
MOST_PROCESSES = 64
"""Of a kind (`glam_serve.limits`)."""
CLIENTS_A_CORE = 4
FILL = 0.8
"""Part of a machine's cores that a server should need on the average: beyond, waiting grows without end."""
OTHER_CORES = (4, 16, 64)
KINDS: tuple[Kind, ...] = ("hub", "api", "worker")
MARKED = re.compile(r"(?<=<!-- sizing -->\n).*?(?=<!-- end of sizing -->)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How many processes a server has, and threads each of its workers."""

    workers: int
    apis: int
    threads: int

    @property
    def options(self) -> tuple[str, ...]:
        """The flags of `glam-serve run`."""
        return tuple(word for name, count in asdict(self).items() for word in (f"--{name}", str(count)))


@dataclass(frozen=True, kw_only=True)
class Size:
    """What a layout gave and took."""

    layout: Layout
    pairs_per_s: float
    cpu_s: dict[Kind, float]
    """A pair, of all processes of a kind."""
    mb: dict[Kind, float]
    """Of one process of a kind."""

    @property
    def cpu_s_a_pair(self) -> float:
        """Of all processes."""
        return sum(self.cpu_s.values())


def layouts(cores: int) -> list[Layout]:
    """Return the layouts to try: one of each process, workers alone, both, and half of both with two threads."""
    most, half = min(cores, MOST_PROCESSES), max(1, min(cores // 2, MOST_PROCESSES))
    tried = ((1, 1, cores), (most, 1, 1), (most, most, 1), (half, half, 2))
    return list(dict.fromkeys(Layout(workers=w, apis=a, threads=t) for w, a, t in tried))


def size_of(bundle: Path, log: Path, pair: Pair, layout: Layout, *, seconds: float) -> Size:
    """Serve with a layout, and measure under load."""
    with running(bundle, log, *layout.options, "--limits.deadline-s", "120", *ONE_CALLER) as server:
        clients = "--clients", str(CLIENTS_A_CORE * CORES)
        load(server.port, pair, "--seconds", "2", *clients)  # every worker has answered
        before = server.cpu_s()
        ended = load(server.port, pair, "--seconds", str(LEAD_S + seconds), *clients)
        if statuses := {outcome.status for outcome in ended} - {200}:
            raise RuntimeError(f"the server answered {sorted(statuses)}: {log.read_text()[-500:]}")
        used = server.cpu_s()
        return Size(
            layout=layout,
            pairs_per_s=len(steady(ended, seconds)) / seconds,
            cpu_s={kind: (used[kind] - before[kind]) / len(ended) for kind in KINDS},
            mb={kind: _mb_of_one(server, kind) for kind in KINDS},
        )


def _mb_of_one(server: RealServer, kind: Kind) -> float:
    """Mean proportional set size of the processes of a kind."""
    pids = server.pids(kind)
    return sum(_pss_kb(pid) for pid in pids) / len(pids) / 1024


def _pss_kb(pid: int) -> int:
    lines = [line.split() for line in of_proc(pid, "smaps_rollup").decode().splitlines()]
    return next(int(words[1]) for words in lines if words[0] == "Pss:")


def table(sizes: Sequence[Size], conditions: str) -> str:
    """Return the part of the page: what was measured, and what follows for other machines."""
    lines = [
        conditions,
        "",
        "| `--workers` | `--apis` | `--threads` | pairs a second | CPU s a pair: API processes, workers"
        " | MB: hub, an API process, a worker |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for size in sizes:
        layout, mb = size.layout, " ".join(f"{size.mb[kind]:.0f}" for kind in KINDS)
        cpu = f"{size.cpu_s['api']:.3f}, {size.cpu_s['worker']:.3f}"
        lines.append(
            f"| {layout.workers} | {layout.apis} | {layout.threads} | {size.pairs_per_s:.2f} | {cpu} |"
            f" {mb.replace(' ', ', ')} |"
        )
    return "\n".join([*lines, "", *_arithmetic(min(sizes, key=lambda size: size.cpu_s_a_pair))]) + "\n"


def _arithmetic(size: Size) -> list[str]:
    """Return the lines that lead to another machine: CPU time and memory add up, whatever its cores."""
    cpu_s, mb = size.cpu_s_a_pair, size.mb
    lines = [
        f"A pair took {cpu_s:.3f} CPU seconds at the least, so {FILL:g} x cores / {cpu_s:.3f} pairs a second leave a"
        " fifth of the cores free,",
        f"and {mb['hub']:.0f} + {mb['api']:.0f} x `--apis` + {mb['worker']:.0f} x `--workers` MB are needed, with the"
        " files that are read and `--limits.max-spool-mb` beside them:",
        "",
        "| cores of this kind, a worker and an API process each | pairs a second | MB |",
        "| --- | --- | --- |",
    ]
    for cores in OTHER_CORES:
        needed = mb["hub"] + cores * (mb["api"] + mb["worker"])
        lines.append(f"| {cores} | {FILL * cores / cpu_s:.1f} | {needed:.0f} |")
    return [*lines, "", "These rows are calculated, not measured: memory bandwidth may set a lower limit."]


def on_page(page: str, part: str) -> str:
    """Return a page with the marked part replaced; ValueError where it has no marks."""
    if not MARKED.search(page):
        raise ValueError("the page has no <!-- sizing --> and <!-- end of sizing -->")
    return MARKED.sub(lambda _: part, page)


def main() -> None:
    """Measure, write the table into the page, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three seconds a loop, two layouts")
    parser.add_argument("--page", type=Path, help="page whose marked part is replaced")
    parser.add_argument("--bundle", type=Path, default=DEMO_BUNDLE)
    parser.add_argument("--cc", type=Path, help="your file; both left out: two phantoms")
    parser.add_argument("--mlo", type=Path)
    options = parser.parse_args()
    seconds, tried = (3.0, layouts(CORES)[:2]) if options.quick else (10.0, layouts(CORES))
    with tempfile.TemporaryDirectory() as name:
        folder, own = Path(name), options.cc and options.mlo
        pair = Pair(options.cc, options.mlo) if own else pair_of(folder, real=False)
        busy = busy_elsewhere()
        sizes = [
            size_of(options.bundle, folder / f"log-{number}", pair, layout, seconds=seconds)
            for number, layout in enumerate(tried)
        ]
    if options.page:
        command = " ".join(["python -m bench.sizing", *(word for word in sys.argv[1:] if not word.startswith("/"))])
        name = read_bundle(options.bundle, verify=False).name
        conditions = (
            f"Measured by `{command}`, commit {commit(12)}, {machine()}, {'your' if own else 'phantom'} files,"
            f" bundle {name}, {CLIENTS_A_CORE * CORES} clients for {seconds:g} s a row; other programs took {busy:.0%}"
            " of the machine."
        )
        options.page.write_text(on_page(options.page.read_text(), table(sizes, conditions)))
    print_summary("sizing", {"busy_elsewhere": round(busy, 2), "sizes": list(map(asdict, sizes))}, {})


if __name__ == "__main__":
    main()
