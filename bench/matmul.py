"""How fast each engine multiplies the largest matrices of the paper's tower, on one core: what bounds `bench.engines`.

python -m bench.matmul

An (1374, 768) matrix, the tokens of ViT-B at 518, by the (768, 3072) of its feed-forward layer, in turns; the fastest
turn counts. `torch medium` is `torch.set_float32_matmul_precision("medium")`, which may round to bfloat16.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from bench.report import print_summary
from glam.runtime import onnx_session

TOKENS, WIDTH, HIDDEN = 1374, 768, 3072
TURNS = 12


def write_product(path: Path, weights: np.ndarray) -> None:
    """Write a graph of one product with (width, hidden) weights."""
    given = helper.make_tensor_value_info("tokens", TensorProto.FLOAT, [TOKENS, WIDTH])
    product = helper.make_tensor_value_info("product", TensorProto.FLOAT, [TOKENS, HIDDEN])
    node = helper.make_node("MatMul", ["tokens", "weights"], ["product"])
    graph = helper.make_graph([node], "product", [given], [product], [numpy_helper.from_array(weights, "weights")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def products() -> dict[str, Callable[[], np.ndarray]]:
    """Return the product as each engine makes it."""
    random = np.random.default_rng(0)
    tokens = random.standard_normal((TOKENS, WIDTH), dtype=np.float32)
    weights = random.standard_normal((WIDTH, HIDDEN), dtype=np.float32)
    with TemporaryDirectory() as folder:
        write_product(path := Path(folder) / "product.onnx", weights)
        session = onnx_session(path, threads=1)

    def by_torch(precision: str) -> np.ndarray:
        torch.set_float32_matmul_precision(precision)
        return (torch.from_numpy(tokens) @ torch.from_numpy(weights)).numpy()

    return {
        "torch": lambda: by_torch("highest"),
        "torch medium": lambda: by_torch("medium"),
        "ONNX Runtime": lambda: session.run(None, {"tokens": tokens})[0],
    }


def fastest_s(calls: dict[str, Callable[[], np.ndarray]]) -> dict[str, float]:
    """Return the seconds of each call's fastest turn."""
    times: dict[str, float] = dict.fromkeys(calls, float("inf"))
    for _ in range(TURNS):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name] = min(times[name], time.perf_counter() - start)
    return times


def main() -> None:
    """Measure, and print billions of operations a second, and ratios to torch."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    calls = products()
    expected = calls["torch"]()
    errors = {name: float(np.abs(call() - expected).max() / np.abs(expected).max()) for name, call in calls.items()}
    times = fastest_s(calls)
    operations = 2 * TOKENS * WIDTH * HIDDEN
    figures = {
        name: {
            "gflop_per_s": round(operations / took / 1e9),
            "of_torch": round(times["torch"] / took, 2),
            "error": float(f"{errors[name]:.1e}"),
        }
        for name, took in times.items()
    }
    print_summary("matmul", figures, {})


if __name__ == "__main__":
    main()
