"""Damaged files through reading and preparing: each ends in a view or in one of our errors, within time and memory.

python -m bench.fuzz [--files 10000] [--seed 0] [--workers 2] [--out FOLDER] [--quick]

What ends otherwise is written to the folder, and the run exits 1.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench.report import goal, print_summary
from tests.samples.fuzzing import LIMIT_BYTES, LIMIT_S, outcomes
from tests.samples.mutations import damaged

LIMIT_MB = LIMIT_BYTES / 1e6
QUICK_FILES = 500


def main() -> None:
    """Read the files, print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"), help="where to keep files that end otherwise")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_FILES} files")
    given = parser.parse_args()
    num_files, counts, peak_mb = QUICK_FILES if given.quick else given.files, Counter[str](), 0.0
    slowest_s, slowest = 0.0, 0
    start = time.monotonic()
    for one in outcomes(num_files, seed=given.seed, num_workers=given.workers):
        slowest_s, slowest = max((slowest_s, slowest), (one.took_s, one.index))
        peak_mb = max(peak_mb, one.peak_mb)
        counts["unexpected" if " " in one.code else one.code] += 1
        if " " in one.code:
            given.out.mkdir(parents=True, exist_ok=True)
            (given.out / f"{given.seed}-{one.index}.dcm").write_bytes(damaged(given.seed, one.index))
            sys.stderr.write(f"{given.seed}-{one.index}: {one.code}\n")
    figures: dict[str, Any] = {"files": num_files, "seed": given.seed, "codes": dict(counts.most_common())}
    figures["slowest"] = slowest
    figures["files_a_second"] = round(num_files / (time.monotonic() - start), 1)
    goals = {
        "unexpected": goal(counts["unexpected"], at_most=0),
        "slowest_s": goal(round(slowest_s, 2), at_most=LIMIT_S),
        "peak_mb": goal(round(peak_mb), at_most=LIMIT_MB),
    }
    print_summary("fuzz", figures, goals)
    sys.exit(1 if counts["unexpected"] else 0)


if __name__ == "__main__":
    main()
