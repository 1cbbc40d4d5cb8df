import argparse
import json
import subprocess
import sys

import pytest

from bench import engines

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def towers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("towers")
    engines.write_towers(folder, "tiny")
    return folder


def test_every_engine_embeds_the_same_images_alike_and_none_holds_the_memory_of_this_process(towers):
    arguments = argparse.Namespace(size="tiny", threads=1, runs=1, rounds=1)
    rows = engines.compare(towers, arguments)
    assert set(rows["torch"]) == set(engines.MEASURES)
    assert all(value > 0 for row in rows.values() for value in row.values())
    bounds = {"portable": 0.99999, "fused": 0.99999, "int8": 0.99}
    assert all(rows[engine]["worst_cosine"] > bound for engine, bound in bounds.items())
    assert rows["fused"]["memory_of_torch"] < 0.6


def test_no_process_of_onnx_runtime_imports_torch(towers):
    code = (
        "import sys, json; from pathlib import Path; import numpy as np; from bench.engines import opened;"
        f"folder = Path({str(towers)!r}); images = np.load(folder / 'images.npy');"
        "vectors = opened('fused', folder, 'tiny', 1)(images);"
        "print(json.dumps([vectors.shape, 'torch' in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[engines.NUM_IMAGES, engines.config_of("tiny").joint_dim], False]
