import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from glam.loading import open_runtime
from glam.runtime import AlignOut, OnnxRuntime, engine_version, onnx_session

FLOAT, INT = TensorProto.FLOAT, TensorProto.INT64


def save_graph(path, nodes, inputs, outputs, weights=(), external=False):
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs],
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in outputs],
        initializer=[onnx.numpy_helper.from_array(value, name) for name, value in weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save_model(model, path, save_as_external_data=external, location=f"{path.name}.data", size_threshold=0)


def save_vision(folder, external=False):
    """Patches are the pixels doubled, the embedding their mean."""
    nodes = [
        helper.make_node("Constant", [], ["shape"], value_ints=[-1, 2, 2]),
        helper.make_node("Constant", [], ["axis"], value_ints=[1]),
        helper.make_node("Mul", ["image", "two"], ["doubled"]),
        helper.make_node("Reshape", ["doubled", "shape"], ["patches"]),
        helper.make_node("ReduceMean", ["patches", "axis"], ["image_embedding"], keepdims=0),
    ]
    save_graph(
        folder / "vision.onnx",
        nodes,
        [("image", FLOAT, ["batch", 1, 2, 2])],
        [("image_embedding", ["batch", 2]), ("patches", ["batch", 2, 2])],
        [("two", np.float32([2]))],
        external=external,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_vision(tmp_path)
    maps = [
        helper.make_node("Identity", ["patches_cc"], ["pooling_cc"]),
        helper.make_node("Identity", ["patches_mlo"], ["pooling_mlo"]),
        helper.make_node("Sub", ["patches_cc", "patches_mlo"], ["cc_to_mlo"]),
        helper.make_node("Sub", ["patches_mlo", "patches_cc"], ["mlo_to_cc"]),
    ]
    shape = ["batch", 2, 2]
    save_graph(
        tmp_path / "alignment.onnx",
        maps,
        [("patches_cc", FLOAT, shape), ("patches_mlo", FLOAT, shape)],
        [(name, shape) for name in ("mlo_to_cc", "pooling_mlo", "cc_to_mlo", "pooling_cc")],  # not in our order
    )
    nodes = [
        helper.make_node("Mul", ["token_ids", "mask"], ["kept"]),
        helper.make_node("Cast", ["kept"], ["text_embedding"], to=FLOAT),
    ]
    inputs = [(name, INT, ["batch", "token"]) for name in ("token_ids", "mask")]
    save_graph(tmp_path / "text.onnx", nodes, inputs, [("text_embedding", ["batch", "token"])])
    return tmp_path


def test_vision_gives_embedding_and_patches_of_each_view(folder):
    images = np.arange(12, dtype=np.float64).reshape(3, 1, 2, 2)
    out = OnnxRuntime(folder).vision(images)
    np.testing.assert_allclose(out.patches, 2 * images[:, 0])
    np.testing.assert_allclose(out.embedding, 2 * images[:, 0].mean(axis=1))
    assert out.patches.dtype == np.float32


def test_maps_are_named_and_not_taken_by_the_order_of_the_file(folder):
    cc, mlo = np.ones((1, 2, 2), np.float32), np.full((1, 2, 2), 5, np.float32)
    maps = OnnxRuntime(folder).align(cc, mlo)
    assert [value.flat[0] for value in maps] == [1, 5, -4, 4]
    assert maps._fields == AlignOut._fields == ("pooling_cc", "pooling_mlo", "cc_to_mlo", "mlo_to_cc")


def test_texts_of_any_integer_type_are_embedded(folder):
    embedding = OnnxRuntime(folder).text(np.array([[3, 4]], np.int32), np.array([[1, 0]], bool))
    np.testing.assert_array_equal(embedding, [[3, 0]])


def test_text_graph_is_not_opened_until_the_first_text(folder):
    (folder / "text.onnx").rename(folder / "later.onnx")
    runtime = OnnxRuntime(folder)
    (folder / "later.onnx").rename(folder / "text.onnx")
    assert runtime.text(np.ones((2, 3), np.int64), np.ones((2, 3), np.int64)).shape == (2, 3)


def test_threads_that_ask_at_once_get_their_own_answers(folder):
    runtime = OnnxRuntime(folder, threads=1)
    answers: dict[int, float] = {}

    def ask(number):
        embedding = runtime.text(np.full((1, 4), number), np.ones((1, 4)))
        view = runtime.vision(np.full((1, 1, 2, 2), number))
        answers[number] = (embedding[0, 0] + view.embedding[0, 0]).item()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: 3 * number for number in range(16)}


def test_weights_beside_the_graph_are_mapped_and_not_packed(folder):
    save_vision(folder, external=True)
    assert (folder / "vision.onnx.data").exists()
    options = onnx_session(folder / "vision.onnx").get_session_options()
    assert options.get_session_config_entry("session.disable_prepacking") == "1"
    assert OnnxRuntime(folder).vision(np.ones((1, 1, 2, 2))).embedding.tolist() == [[2, 2]]


def test_provider_that_is_not_there_is_refused_with_the_way_out(folder):
    with pytest.raises(
        ValueError,
        match=r'CUDAExecutionProvider is not in this onnxruntime .*pip install "onnxruntime-gpu\[cuda,cudnn\]"',
    ):
        OnnxRuntime(folder, provider="CUDAExecutionProvider")


def test_provider_that_does_not_start_is_no_silent_fall_back(folder, monkeypatch):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["NoSuchProvider"])
    message = "NoSuchProvider did not start, and CPUExecutionProvider took its place"
    with pytest.warns(UserWarning, match="NoSuchProvider"), pytest.raises(ValueError, match=message):
        OnnxRuntime(folder, provider="NoSuchProvider")


def test_libraries_of_a_gpu_are_loaded_from_where_pip_put_them_and_standard_output_stays_clean(
    folder, monkeypatch, capsys
):
    asked = []
    monkeypatch.setattr("onnxruntime.preload_dlls", lambda: asked.append(sys.stdout.write("Failed to load libcudnn")))
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["NoSuchProvider", "CPUExecutionProvider"])
    with pytest.warns(UserWarning, match="NoSuchProvider"), pytest.raises(ValueError, match="did not start"):
        OnnxRuntime(folder, provider="NoSuchProvider")
    out, err = capsys.readouterr()
    assert (len(asked), out) == (1, "")
    assert "Failed to load libcudnn" in err
    OnnxRuntime(folder)
    assert len(asked) == 1  # a CPU needs none


def test_the_version_of_the_engine_is_told_whichever_package_holds_it(monkeypatch):
    import importlib.metadata

    import onnxruntime

    def no_such_package(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", no_such_package)  # as where onnxruntime-gpu is in its place
    assert engine_version() == onnxruntime.__version__


@pytest.mark.parametrize("threads", [0, -3])
def test_there_is_at_least_one_thread(folder, threads: int):
    with pytest.raises(ValueError, match=f"^threads {threads} is not above 0: leave it out for all cores"):
        OnnxRuntime(folder, threads=threads)


def test_folder_without_graphs_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no graph at .*vision.onnx: make a bundle with glam-export onnx"):
        OnnxRuntime(tmp_path)


def test_runtime_says_which_provider_it_has(folder):
    assert OnnxRuntime(folder).provider == "CPUExecutionProvider"


def test_torch_runtime_asks_for_the_checkpoint():
    with pytest.raises(ValueError, match="needs the checkpoint"):
        open_runtime(None, "torch")


def test_torch_runtime_takes_the_threads_that_it_is_given(random_bundle, random_checkpoint):
    import torch

    there = torch.get_num_threads()
    try:
        open_runtime(random_bundle, "torch", threads=there + 1, checkpoint=random_checkpoint)
        assert torch.get_num_threads() == there + 1
    finally:
        torch.set_num_threads(there)


def test_torch_runtime_refuses_a_checkpoint_that_did_not_make_the_bundle(random_bundle, random_checkpoint, tmp_path):
    assert open_runtime(random_bundle, "torch", checkpoint=random_checkpoint)
    (tmp_path / "weights.safetensors").write_bytes(b"other")
    with pytest.raises(ValueError, match=r"was not exported from .*: give its own checkpoint, or export"):
        open_runtime(random_bundle, "torch", checkpoint=tmp_path)


def test_torch_runtime_believes_the_caller_of_a_bundle_that_recorded_no_weights(random_bundle, random_checkpoint):
    assert open_runtime(replace(random_bundle, weights_sha256=""), "torch", checkpoint=random_checkpoint)


def test_onnx_runs_without_torch(folder):
    script = f"""
import sys
from pathlib import Path
from glam.runtime import OnnxRuntime
OnnxRuntime(Path({str(folder)!r}))
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
