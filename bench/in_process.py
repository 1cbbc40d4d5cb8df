"""A loop of pairs through a Predictor, without a server; prints pairs, seconds, and CPU seconds by stage as JSON.

python -m bench.in_process BUNDLE CC MLO SECONDS
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


def main() -> None:
    """Run the loop, and print what it took."""
    folder, cc, mlo, seconds = sys.argv[1:]
    loop = Loop(Path(folder), Path(cc).read_bytes(), Path(mlo).read_bytes())
    loop.pair()
    loop.cpu_s.clear()
    loop.wall_s.clear()
    start = time.perf_counter()
    while time.perf_counter() - start < float(seconds):
        loop.pair()
    took_s = time.perf_counter() - start
    cpu_s = {stage: value / len(loop.wall_s) for stage, value in loop.cpu_s.items()}
    json.dump({"pairs": len(loop.wall_s), "seconds": took_s, "cpu_s": cpu_s, "wall_s": loop.wall_s}, sys.stdout)


if __name__ == "__main__":
    main()
