"""What a session of a bundle's vision graph costs, by the options of ONNX Runtime, as ratios to GLAM's own choice.

python -m bench.session --quick
python -m bench.session --bundle bundles/mine --requests 10000

Every set of options runs in a process of its own, in rounds; the ratios are medians over the rounds. The last part
sends requests of mixed batch sizes to one session, and says how much memory it holds more at the end than after the
first ones, by which its arena has grown to what the largest batch takes.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.report import goal, print_summary
from glam.bundle import DEMO_BUNDLE
from glam.runtime import switch_telemetry_off

OPTIONS: dict[str, dict[str, Any]] = {
    "glam": {},
    "no_arena": {"enable_cpu_mem_arena": False},
    "no_pattern": {"enable_mem_pattern": False},
    "one_thread": {"intra_op_num_threads": 1},
    "parallel_inter_2": {"execution_mode": 1, "inter_op_num_threads": 2},
    "no_spinning": {"config": {"session.intra_op.allow_spinning": "0"}},
    "prepacked": {"config": {"session.disable_prepacking": "0"}},
    "not_prepacked": {"config": {"session.disable_prepacking": "1"}},
    "basic_optimisation": {"graph_optimization_level": 1},
}
"""Name -> attributes of SessionOptions, and configuration entries, that differ from GLAM's own."""
MEASURES = ("load_cpu_s", "first_ms", "latency_ms", "run_cpu_ms", "private_mb")
RUNS = 20
BATCH_SIZES = (1, 2, 4, 8, 3, 5)


def open_session(graph: Path, threads: int, changes: dict[str, Any]) -> Any:
    """Open a graph as `glam.runtime` does, with some options changed."""
    switch_telemetry_off()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = threads
    entries = {"session.disable_prepacking": "1"} if graph.with_name(f"{graph.name}.data").exists() else {}
    for name, value in changes.items():
        if name == "config":
            entries |= value
        else:
            kinds: dict[str, Any] = {"execution_mode": onnxruntime.ExecutionMode, "graph_optimization_level": None}
            kind = kinds.get(name) or (onnxruntime.GraphOptimizationLevel if name in kinds else type(value))
            setattr(options, name, kind(value))
    for entry, value in entries.items():
        options.add_session_config_entry(entry, value)
    return onnxruntime.InferenceSession(graph, sess_options=options, providers=["CPUExecutionProvider"])


def private_mb() -> float:
    """Return the memory that this process shares with no other."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def measure(graph: Path, threads: int, changes: dict[str, Any]) -> dict[str, float]:
    """Return what a session costs, in this process."""
    switch_telemetry_off()
    import onnxruntime

    assert onnxruntime
    before, start = private_mb(), time.process_time()
    session = open_session(graph, threads, changes)
    load_cpu_s = time.process_time() - start
    image = np.random.default_rng(0).random((1, *session.get_inputs()[0].shape[1:]), dtype=np.float32)
    times, cpu = [], 0.0
    for run in range(RUNS + 1):
        if run == 1:
            cpu = time.process_time()
        start = time.perf_counter()
        session.run(None, {"image": image})
        times.append(1000 * (time.perf_counter() - start))
    return {
        "load_cpu_s": load_cpu_s,
        "first_ms": times[0],
        "latency_ms": statistics.median(times[1:]),
        "run_cpu_ms": 1000 * (time.process_time() - cpu) / RUNS,
        "private_mb": private_mb() - before,
    }


def growth_mb(graph: Path, threads: int, requests: int) -> float:
    """Return what a session holds more after `requests` of mixed batch sizes than after the first few."""
    session = open_session(graph, threads, {})
    image = np.random.default_rng(0).random((8, *session.get_inputs()[0].shape[1:]), dtype=np.float32)
    for size in BATCH_SIZES * 4:
        session.run(None, {"image": image[:size]})
    before = private_mb()
    for request in range(requests):
        session.run(None, {"image": image[: BATCH_SIZES[request % len(BATCH_SIZES)]]})
    return private_mb() - before


def in_process(what: str, arguments: argparse.Namespace) -> Any:
    """Return what a new process measures."""
    command = [sys.executable, "-m", "bench.session", "--measure", what, "--requests", str(arguments.requests)]
    command += ["--graph", str(arguments.graph), "--threads", str(arguments.threads)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
    return json.loads(done.stdout.splitlines()[-1])


def table(arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Return the measures of GLAM's options, and of the others their ratios to those of the same round."""
    rounds = [{name: in_process(name, arguments) for name in OPTIONS} for _ in range(arguments.rounds)]
    own = {name: statistics.median(each["glam"][name] for each in rounds) for name in MEASURES}
    rows = {"glam": {name: round(value, 3) for name, value in own.items()}}
    for option in list(OPTIONS)[1:]:
        rows[f"{option} / glam"] = {
            name: round(statistics.median(each[option][name] / max(each["glam"][name], 1e-9) for each in rounds), 2)
            for name in MEASURES
        }
    return rows


def parsed() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=DEMO_BUNDLE)
    parser.add_argument("--graph", type=Path, help="a vision graph, in place of the bundle's")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--quick", action="store_true", help="one round, 200 requests")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.graph = arguments.graph or arguments.bundle / "vision.onnx"
    if arguments.quick:
        arguments.rounds, arguments.requests = 1, 200
    return arguments


def main() -> None:
    """Print the summary; in a process of its own, what `--measure` names."""
    arguments = parsed()
    if arguments.measure == "growth":
        print(json.dumps(growth_mb(arguments.graph, arguments.threads, arguments.requests)))
        return
    if arguments.measure:
        print(json.dumps(measure(arguments.graph, arguments.threads, OPTIONS[arguments.measure])))
        return
    rows = table(arguments)
    growth = round(in_process("growth", arguments), 2)
    figures = rows | {"threads": arguments.threads, "requests": arguments.requests, "growth_mb": growth}
    goals = {
        "load_cpu_s": goal(rows["glam"]["load_cpu_s"], at_most=0.1),
        "growth_mb": goal(growth, at_most=10.0),
    }
    print_summary("session", figures, goals)


if __name__ == "__main__":
    main()
