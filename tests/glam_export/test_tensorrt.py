import json
import shlex

import pytest

from glam.bundle import read_bundle
from glam.providers import CUDA, TENSORRT, Profile, providers, way_to
from glam_export.cli import main
from glam_export.tensorrt import Batches, engine_plans, has_builder


def test_script_builds_every_graph_for_its_shapes(exported, tmp_path, capsys):
    out = tmp_path / "engines"
    assert main(["tensorrt", str(exported), "--out", str(out), "--batches", "1", "4", "16", "--script-only"]) == 0
    assert json.loads(capsys.readouterr().out)["tensorrt_rtx"] == "not run"
    lines = (out / "build-engines.sh").read_text().splitlines()
    commands = [shlex.split(line) for line in lines if line.startswith("trtexec")]
    assert [command[2] for command in commands] == [
        "--saveEngine=vision.engine",
        "--saveEngine=alignment.engine",
        "--saveEngine=text.engine",
    ]
    assert commands[0][1] == f"--onnx={exported / 'vision.onnx'}"
    assert commands[0][-3:] == [
        "--minShapes=image:1x1x56x56",
        "--optShapes=image:4x1x56x56",
        "--maxShapes=image:16x1x56x56",
    ]
    assert commands[1][-1] == "--maxShapes=patches_cc:16x16x32,patches_mlo:16x16x32"
    assert commands[2][-1] == "--maxShapes=token_ids:16x64,mask:16x64"
    assert (out / "build-engines.sh").stat().st_mode & 0o111


@pytest.mark.parametrize("batches", [(0, 1, 2), (2, 1, 4), (1, 4, 2)])
def test_batches_in_disorder_are_refused(exported, batches):
    with pytest.raises(ValueError, match="are not least <= usual <= most"):
        engine_plans(read_bundle(exported, verify=False), "portable", Batches(*batches))


def test_variant_that_tensorrt_does_not_take_or_that_is_not_there_is_refused(exported):
    bundle = read_bundle(exported, verify=False)
    with pytest.raises(ValueError, match="TensorRT takes no int8 graphs"):
        engine_plans(bundle, "int8", Batches())
    with pytest.raises(ValueError, match=r"glam-export quantise .* --variant fp16"):
        engine_plans(bundle, "fp16", Batches())


@pytest.mark.skipif(
    not has_builder(), reason="no TensorRT-RTX: pip install tensorrt_rtx_cu13_libs tensorrt_rtx_cu13_bindings"
)
def test_tensorrt_rtx_parses_and_builds_all_three_graphs(exported, tmp_path, capsys):
    assert main(["tensorrt", str(exported), "--out", str(tmp_path)]) == 0
    built = json.loads(capsys.readouterr().out)["tensorrt_rtx"]
    assert [entry["graph"] for entry in built] == ["vision.onnx", "alignment.onnx", "text.onnx"]
    assert all(entry["engine_bytes"] > 1000 for entry in built)


def test_onnx_runtime_s_tensorrt_gets_its_shapes_and_keeps_its_engines():
    profile = Profile({"image": (1, 1, 56, 56)}, {"image": (2, 1, 56, 56)}, {"image": (8, 1, 56, 56)})
    (name, options), fall_back = providers(TENSORRT, profile=profile, cache="engines")
    assert (name, fall_back[0]) == (TENSORRT, CUDA)
    assert options == {
        "trt_profile_min_shapes": "image:1x1x56x56",
        "trt_profile_opt_shapes": "image:2x1x56x56",
        "trt_profile_max_shapes": "image:8x1x56x56",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": "engines",
    }
    assert "libnvinfer" in way_to(TENSORRT)


def test_float32_on_a_gpu_is_float32():
    ((name, options),) = providers(CUDA)
    assert (name, options["use_tf32"]) == (CUDA, "0")
    assert providers(TENSORRT)[1] == (name, options)
