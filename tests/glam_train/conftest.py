from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from glam.config import AlignmentConfig, FrameConfig, ModelConfig, TextConfig, VisionConfig
from glam.frame import make_frame
from glam.prepare import ModelInput
from glam_train.config import PretrainConfig
from glam_train.data.cache import PairCache, PreparedPair, build_shard, open_cache_folder, read_cache
from glam_train.methods.aligned import PairFeatures
from glam_train.presets.glam import tiny_preset

FRAME = FrameConfig(size=28)


@pytest.fixture
def vectors() -> PairFeatures:
    """Seeded unit vectors of four pairs: joint space of 8, 9 regions, maps of 2 by 3."""
    generator = torch.Generator().manual_seed(2)

    def unit(*shape: int) -> torch.Tensor:
        drawn = torch.randn(*shape, generator=generator, dtype=torch.float64)
        return torch.nn.functional.normalize(drawn, dim=-1)

    image_cc, image_mlo, text = (unit(4, 8) for _ in range(3))
    local, maps = [unit(4, 9, 8) for _ in range(4)], [unit(4, 2, 3).square() for _ in range(2)]
    rows, kinds = [torch.zeros(4, 2, dtype=torch.int64) for _ in range(2)], torch.zeros(4, 2, dtype=torch.int64)
    beside = [unit(4, 8) for _ in range(3)], [unit(4, 5, 8) for _ in range(3)]
    is_sentence = torch.tensor([[1, 1, 1, 1, 1], [1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0]]).bool()
    of_pair = (image_cc, image_mlo, text, image_cc, image_mlo)
    return PairFeatures(*of_pair, *local, *maps, *rows, kinds, *beside[0], *beside[1], is_sentence)


@pytest.fixture(scope="session")
def toy_config() -> PretrainConfig:
    """Four patches, one block, dropout in the text tower; six updates of four pairs in two passes."""
    model = ModelConfig(
        vision=VisionConfig(image_size=28, embed_dim=32, depth=1, num_heads=2, num_registers=1, layer_scale=1.0),
        text=TextConfig(
            vocab_size=200, hidden_dim=32, depth=1, num_heads=2, ffn_dim=32, max_positions=192, dropout=0.1
        ),
        alignment=AlignmentConfig(side=2, pooling_heads=2, slice_heads=2),
        frame=FRAME,
        joint_dim=16,
    )
    return replace(
        tiny_preset(), model=model, steps=6, batch_size=2, accumulate=2, warmup_steps=1, precision="bf16-mixed"
    )


@pytest.fixture(scope="session")
def toy_places(toy_cache: PairCache) -> PairCache:
    """The toy pairs; every third has a finding, and every pair twenty tissue points, that both views show."""
    rng = np.random.default_rng(2)

    def points(count: int) -> dict[str, list[list[float]]]:
        return {view: (8 + 12 * rng.random((count, 2))).tolist() for view in ("cc", "mlo")}

    records = [
        record | {"points": {"lesion": points(int(index % 3 == 0)), "tissue": points(20)}}
        for index, record in enumerate(toy_cache.records)
    ]
    return replace(toy_cache, records=records)


@pytest.fixture(scope="session")
def toy_cache(toy_folder: Path) -> PairCache:
    """Twelve pairs of random squares, all four densities, every third with a mass."""
    return read_cache(toy_folder)


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `toy_cache`."""
    folder: Path = tmp_path_factory.mktemp("toy-cache")
    rng = np.random.default_rng(1)
    frame = make_frame(np.eye(3), size=28, rows=28, cols=28)

    def square() -> ModelInput:
        return ModelInput(pixels=rng.random((28, 28), np.float32), frame=frame, findings=())

    def pair(key: int) -> PreparedPair:
        lesions = [{"kind": "mass", "shape": "oval", "density": "high"}] if key % 3 == 0 else []
        facts = {"laterality": "L", "view": "CC", "density": "abcd"[key % 4], "birads": 0 if lesions else 1}
        record = {"pair_id": f"toy-{key}", "patient_id": f"patient-{key}", "facts": facts | {"lesions": lesions}}
        return PreparedPair(cc=square(), mlo=square(), record=record)

    open_cache_folder(folder, FRAME, {"kind": "phantoms", "seed": 1}, num_pairs=12)
    build_shard(folder, 0, range(12), pair)
    return folder
