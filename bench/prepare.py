"""What reading and preparing a mammogram costs, each figure as a ratio within one run.

python -m bench.prepare [--quick]

The image is 3328 x 4096 pixels of 12 in 16 bits, a phantom enlarged. Preparation is held against the steps of the
released code done with scikit-image on an image shrunk to 1024 px beforehand; reading and preparing against decoding
with the same decoder and one cv2.resize of INTER_AREA. Times are CPU seconds, medians of rounds in turn.
"""

import argparse
import gc
import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from multiprocessing.pool import Pool
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from imagecodecs import jpeg2k_encode
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless
from skimage.feature import canny
from skimage.filters import threshold_otsu
from skimage.transform import hough_line, hough_line_peaks, resize, rotate

from bench.report import goal, print_summary
from glam.config import FrameConfig
from glam.phantom import draw_pair, view_of, write_dicom
from glam.phantom.render import Projection
from glam.prepare import prepare
from glam.reading.header import quiet_pydicom
from glam.reading.parse import parse
from glam.reading.pixels import stored_pixels
from glam.reading.read import read_view
from glam.view import WHITE, View
from tests.samples.own_memory import forget_peak, peak_bytes

SHAPE = (4096, 3328)
PX_MM = 0.06
RECIPE_SIDE = 1024
CONFIG = FrameConfig()
SYNTAXES = ("RLE", "JPEG 2000", "uncompressed")
GOALS = {"RLE": 1.3, "JPEG 2000": 1.3, "uncompressed": 2.5}
Files = dict[str, bytes]


def large(projection: Projection) -> Projection:
    """Return a projection enlarged to the size of a detector."""
    pixels = cv2.resize(projection.pixels, SHAPE[::-1], interpolation=cv2.INTER_CUBIC)
    return replace(projection, pixels=np.minimum(pixels, 4095).astype(np.uint16), px_mm=PX_MM)


def files_of(projection: Projection, path: Path) -> Files:
    """Return the file of a projection in each syntax."""
    write_dicom(path, projection)
    plain = path.read_bytes()
    write_dicom(path, projection, transfer="rle")
    dataset = dcmread(BytesIO(plain))
    dataset.PixelData = encapsulate([jpeg2k_encode(projection.pixels, level=0, reversible=True, codecformat="j2k")])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    stream = BytesIO()
    dataset.save_as(stream)
    return {"uncompressed": plain, "RLE": path.read_bytes(), "JPEG 2000": stream.getvalue()}


def ours(data: bytes) -> None:
    """Read and prepare."""
    prepare(read_view(data, FrameConfig()), CONFIG)


def baseline(data: bytes) -> None:
    """Decode with the same decoder, and shrink once."""
    with quiet_pydicom():
        stored = stored_pixels(parse(data)).values
    cv2.resize(stored, (CONFIG.size, CONFIG.size), interpolation=cv2.INTER_AREA)


def medians_s(calls: dict[str, Callable[[], object]], *, rounds: int) -> dict[str, float]:
    """CPU seconds of each call, the median; a round makes every call once, so that load falls on all alike."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.process_time()
            call()
            found[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in found.items()}


def preparation_ratios(views: dict[str, View], *, rounds: int) -> dict[str, float]:
    """How many times as long scikit-image's steps take as preparation, by view."""
    ratios = {}
    for name, view in views.items():
        calls = {"ours": lambda view=view: prepare(view, CONFIG), "theirs": lambda view=view: _recipe(view)}
        took = medians_s(calls, rounds=rounds)
        ratios[name] = took["theirs"] / took["ours"]
    return ratios


def _recipe(view: View) -> object:
    """Otsu's box, Canny of sigma 6, Hough lines, the rotation and the square, all by scikit-image at 1024 px."""
    factor = RECIPE_SIDE / max(view.pixels.shape)
    size = round(view.pixels.shape[1] * factor), round(view.pixels.shape[0] * factor)
    shown = cv2.resize(view.pixels, size, interpolation=cv2.INTER_AREA) / WHITE
    box = shown > threshold_otsu(shown)
    rows, cols = (np.flatnonzero(box.any(axis=axis)) for axis in (1, 0))
    cropped = shown[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    angles = np.deg2rad(np.arange(10, 61))
    hough_line_peaks(*hough_line(canny(cropped, sigma=6), theta=angles))
    turned = rotate(cropped, 19)
    return resize(turned, (CONFIG.size, CONFIG.size), anti_aliasing=True)


def reading_ratios(files: dict[str, Files], *, rounds: int) -> dict[str, dict[str, float]]:
    """How many times as long reading and preparing takes as decoding and one resize, by syntax and view."""
    ratios: dict[str, dict[str, float]] = {}
    for syntax in SYNTAXES:
        ratios[syntax] = {}
        for name, encoded in files.items():
            data = encoded[syntax]
            calls = {"ours": lambda data=data: ours(data), "baseline": lambda data=data: baseline(data)}
            took = medians_s(calls, rounds=rounds)
            ratios[syntax][name] = took["ours"] / took["baseline"]
    return ratios


def peak_ratio(data: bytes) -> float:
    """How many times the decoded image a process needs to read and prepare it, the file in memory included."""
    with _worker(data) as pool:
        pool.apply(_repeat, (1,))
        return (pool.apply(_peak_bytes) + len(data)) / (2 * SHAPE[0] * SHAPE[1])


def scaling(data: bytes, *, repeats: int, rounds: int) -> float:
    """Throughput of two threads over that of two processes, both in processes of their own, the file there already."""
    ratios = []
    with _worker(data) as one, _worker(data) as other:
        for pool in (one, other):
            pool.apply(_repeat, (1,))
        for _ in range(rounds):
            start = time.perf_counter()
            for waiting in [pool.apply_async(_repeat, (repeats,)) for pool in (one, other)]:
                waiting.get()
            processes_s, start = time.perf_counter() - start, time.perf_counter()
            one.apply(_in_threads, (repeats,))
            ratios.append(processes_s / (time.perf_counter() - start))
    return statistics.median(ratios)


_held: list[bytes] = []
"""The file that a worker reads."""


def _worker(data: bytes) -> Pool:
    return multiprocessing.get_context("spawn").Pool(1, _hold, (data,))


def _hold(data: bytes) -> None:
    cv2.setNumThreads(1)
    _held.append(data)


def _repeat(repeats: int) -> None:
    for _ in range(repeats):
        ours(_held[0])


def _in_threads(repeats: int) -> None:
    threads = [threading.Thread(target=_repeat, args=(repeats,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _peak_bytes() -> int:
    """Bytes by which reading and preparing once raises the process's resident memory at its highest, proc(5)."""
    gc.collect()
    before = forget_peak()
    _repeat(1)
    return peak_bytes() - before


def main() -> None:
    """Measure, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three rounds instead of nine")
    rounds = 3 if parser.parse_args().quick else 9
    cv2.setNumThreads(1)
    pair = draw_pair(1)
    projections = {"CC": large(pair.cc), "MLO": large(pair.mlo)}
    with TemporaryDirectory() as folder:
        files = {name: files_of(one, Path(folder) / "image.dcm") for name, one in projections.items()}
    views = {name: view_of(one, FrameConfig()) for name, one in projections.items()}
    against_recipe = preparation_ratios(views, rounds=rounds)
    against_resize = reading_ratios(files, rounds=rounds)
    peaks = {syntax: peak_ratio(files["MLO"][syntax]) for syntax in SYNTAXES}
    threads = {
        syntax: scaling(files["MLO"][syntax], repeats=2 * rounds, rounds=3) for syntax in ("RLE", "uncompressed")
    }
    figures = _rounded(
        {
            "recipe_over_preparation": against_recipe,
            "read_and_prepare_over_decode_and_resize": against_resize,
            "peak_over_decoded": peaks,
            "threads_over_processes": threads,
        }
    )
    goals = {"preparation_speedup": goal(round(min(against_recipe.values()), 2), at_least=5.0)}
    for syntax, bound in GOALS.items():
        ratio = statistics.mean(against_resize[syntax].values())
        goals[f"read_and_prepare_{syntax.replace(' ', '_').lower()}"] = goal(round(ratio, 2), at_most=bound)
    goals["peak"] = goal(round(max(peaks.values()), 2), at_most=4.0)
    goals["threads"] = goal(round(min(threads.values()), 2), at_least=0.85)
    print_summary("prepare", figures | {"rounds": rounds}, goals)


def _rounded(figures: Any) -> Any:
    if isinstance(figures, dict):
        return {name: _rounded(value) for name, value in figures.items()}
    return round(figures, 2)


if __name__ == "__main__":
    main()
