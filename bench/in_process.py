"""A loop of pairs through a Predictor, without a server.

python -m bench.in_process BUNDLE CC MLO

For each line on its input, a number of seconds, it answers pairs for so long and prints a line of JSON: pairs, seconds,
wall seconds of each, CPU seconds by stage.
"""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from glam.bundle import read_bundle
from glam.engine import run_breasts
from glam.loading import open_runtime
from glam.pair import prepare_breast, read_breast
from glam.predict import Predictor


class Loop:
    """A model that answers the same pair again and again, on one thread."""

    def __init__(self, folder: Path, cc: bytes, mlo: bytes) -> None:
        bundle = read_bundle(folder)
        self.predictor = Predictor(bundle, open_runtime(bundle, threads=1), withholds=True)
        self.files = {"cc": cc, "mlo": mlo}
        self.cpu_s: Counter[str] = Counter()
        self.wall_s: list[float] = []

    def pair(self) -> str:
        """Answer once, its stages timed."""
        start, config = time.perf_counter(), self.predictor.bundle.model.frame
        with self._stage("decode"):
            views = read_breast(self.files, config)
        with self._stage("prepare"):
            breast = prepare_breast(config, views["cc"], views["mlo"])
        with self._stage("model"):
            (vectors,) = run_breasts(self.predictor.runtime, [breast.squares])
        with self._stage("answer"):
            answer = json.dumps(self.predictor.interpreter.prediction(breast, vectors).as_json())
        self.wall_s.append(time.perf_counter() - start)
        return answer

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        start = time.process_time()
        yield
        self.cpu_s[name] += time.process_time() - start

    def run(self, seconds: float) -> dict[str, Any]:
        """Answer pairs for so long; what that took."""
        self.cpu_s.clear()
        self.wall_s.clear()
        start = time.perf_counter()
        while not self.wall_s or time.perf_counter() - start < seconds:
            self.pair()
        took_s = time.perf_counter() - start
        cpu_s = {stage: value / len(self.wall_s) for stage, value in self.cpu_s.items()}
        return {"pairs": len(self.wall_s), "seconds": took_s, "cpu_s": cpu_s, "wall_s": self.wall_s}


class Independent:
    """Processes that run such a loop when they are told to, and wait meanwhile."""

    def __init__(self, bundle: Path, cc: Path, mlo: Path, *, count: int) -> None:
        command = [sys.executable, "-m", "bench.in_process", str(bundle), str(cc), str(mlo)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.processes = [subprocess.Popen(command, **pipes) for _ in range(count)]

    def __enter__(self) -> "Independent":
        self.run(0.0, count=len(self.processes))
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.communicate()

    def run(self, seconds: float, *, count: int) -> list[dict[str, Any]]:
        """Have so many of them work at the same time; what each says."""
        told = self.processes[:count]
        for process in told:
            assert process.stdin is not None
            print(seconds, file=process.stdin, flush=True)
        return [json.loads(process.stdout.readline()) for process in told if process.stdout is not None]


def main() -> None:
    """Do as the input says, until it ends."""
    folder, cc, mlo = sys.argv[1:]
    loop = Loop(Path(folder), Path(cc).read_bytes(), Path(mlo).read_bytes())
    loop.pair()
    for line in sys.stdin:
        print(json.dumps(loop.run(float(line))), flush=True)


if __name__ == "__main__":
    main()
