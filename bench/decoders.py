"""Whether reading compressed files leaves the interpreter's lock to others: threads against processes, and stalls.

python -m bench.decoders [--quick]

A server reads in threads of its API process, beside the event loop that answers probes. For each syntax this measures,
in one run, the throughput of two threads over that of one and over that of two processes, and, with one reading going
on, the longest time for which another thread could not run, as a share of the time a reading takes.
"""

import argparse
import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable
from multiprocessing.pool import Pool

import cv2
import numpy as np
from pydicom import uid

from bench.report import goal, print_summary
from glam.config import FrameConfig
from glam.reading.read import read_view
from tests.samples.mammograms import breast_values, file_of

SHAPE = (4096, 3328)
SYNTAXES = {
    "RLE": uid.RLELossless,
    "JPEG lossless": uid.JPEGLosslessSV1,
    "JPEG-LS": uid.JPEGLSLossless,
    "JPEG 2000": uid.JPEG2000Lossless,
    "uncompressed": uid.ExplicitVRLittleEndian,
}
TICK_S = 0.001


def noisy_file(syntax: str) -> bytes:
    """Return a file of a detector's size, with the noise of one, so that it compresses as little."""
    values = breast_values(*SHAPE).astype(np.int32)
    noise = np.random.default_rng(0).normal(0, 8, SHAPE).astype(np.int32)
    return file_of(np.where(values > 0, np.clip(values + noise, 1, 4095), 0).astype(np.uint16), syntax)


_held: list[bytes] = []
"""The file that a process reads."""


def _hold(data: bytes) -> None:
    cv2.setNumThreads(1)
    _held[:] = [data]


def _read(times: int) -> None:
    for _ in range(times):
        read_view(_held[0], FrameConfig())


def _took_s(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _in_threads(times: int) -> None:
    threads = [threading.Thread(target=_read, args=(times,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _in_processes(pools: list[Pool], times: int) -> None:
    for waiting in [pool.apply_async(_read, (times,)) for pool in pools]:
        waiting.get()


def stall_share() -> float:
    """Return the longest time without the lock, of a thread that asks for it every millisecond, over one reading's."""
    gaps: list[float] = []
    is_over = threading.Event()

    def tick() -> None:
        last = time.perf_counter()
        while not is_over.is_set():
            time.sleep(TICK_S)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    thread = threading.Thread(target=tick)
    thread.start()
    took_s = _took_s(lambda: _read(1))
    is_over.set()
    thread.join()
    return max(gaps) / took_s


def figures_of(syntax: str, *, times: int, rounds: int) -> dict[str, float]:
    """Return what a syntax does to its neighbours; ratios are medians over rounds."""
    data = noisy_file(syntax)
    _hold(data)
    over_one, over_processes, stalls = [], [], []
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(1, _hold, (data,)) as first, spawn.Pool(1, _hold, (data,)) as second:
        _in_processes([first, second], 1)
        for _ in range(rounds):
            one_s = _took_s(lambda: _read(times))
            threads_s = _took_s(lambda: _in_threads(times))
            processes_s = _took_s(lambda: _in_processes([first, second], times))
            over_one.append(2 * one_s / threads_s)
            over_processes.append(processes_s / threads_s)
            stalls.append(stall_share())
    return {
        "two_threads_over_one": round(statistics.median(over_one), 2),
        "threads_over_processes": round(statistics.median(over_processes), 2),
        "longest_stall_over_reading": round(min(stalls), 2),  # the least disturbed by what else the machine does
    }


def main() -> None:
    """Measure, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three rounds instead of nine")
    rounds = 3 if parser.parse_args().quick else 9
    figures = {name: figures_of(syntax, times=2, rounds=rounds) for name, syntax in SYNTAXES.items()}
    worst = {key: [values[key] for values in figures.values()] for key in next(iter(figures.values()))}
    goals = {
        "threads_over_processes": goal(min(worst["threads_over_processes"]), at_least=0.85),
        "longest_stall": goal(max(worst["longest_stall_over_reading"]), at_most=0.25),
    }
    print_summary("decoders", {name: dict(values) for name, values in figures.items()} | {"rounds": rounds}, goals)


if __name__ == "__main__":
    main()
