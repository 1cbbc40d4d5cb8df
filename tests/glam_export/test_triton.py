"""The model repository of a bundle, as written and as a real Triton server loads it."""

import json
import re
import shutil
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from glam.bundle import Bundle, BundleError, read_bundle
from glam.files import file_sha256
from glam.licence import LicenceError
from glam.runtime import OnnxRuntime
from glam.triton.repository import BREAST, model_version
from glam_export.cli import main
from glam_export.triton import REPOSITORY_FILE, write_model, write_repository
from tests.samples.triton_server import TritonError, TritonServer, triton_server

GRAPHS = ("vision", "alignment", "text")


@pytest.fixture
def config_proto():
    """A function: the text of a config.pbtxt -> Triton's own message."""
    model_config = pytest.importorskip(
        "tritonclient.grpc.model_config_pb2", reason="no Triton server here: make triton-env"
    )
    from google.protobuf import text_format

    return lambda path: text_format.Parse(path.read_text(), model_config.ModelConfig())


def model_of(repository: Path, name: str, bundle: Bundle) -> Path:
    return repository / f"glam_{name}" / model_version(bundle.sha256) / "model.onnx"


def loaded_config(server: TritonServer, model: str) -> dict:
    with urllib.request.urlopen(f"{server.http_url}/v2/models/{model}/config") as answer:
        return json.load(answer)


# What is written


def test_the_command_writes_every_graph_unchanged_and_says_of_which_bundle(exported: Path, tmp_path: Path, capsys):
    assert main(["triton", str(exported), "--out", str(tmp_path / "repository")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'repository'}\n"
    bundle, repository = read_bundle(exported), tmp_path / "repository"
    for name in GRAPHS:
        assert model_of(repository, name, bundle).read_bytes() == (exported / f"{name}.onnx").read_bytes()
    manifest = json.loads((repository / REPOSITORY_FILE).read_text())
    assert (manifest["bundle"], manifest["model_version"]) == (bundle.sha256, model_version(bundle.sha256))
    there = {
        path.relative_to(repository).as_posix(): file_sha256(path) for path in repository.rglob("*") if path.is_file()
    }
    assert {name: entry["sha256"] for name, entry in manifest["files"].items()} == {
        name: sha256 for name, sha256 in there.items() if name != REPOSITORY_FILE
    }
    assert [path for path in tmp_path.iterdir() if path != repository] == []


def test_the_configuration_names_the_tensors_types_and_sizes_of_the_graph(
    triton_repository: Path, random_bundle: Bundle, config_proto
):
    config = config_proto(triton_repository / "glam_vision" / "config.pbtxt")
    assert (config.name, config.backend, config.max_batch_size) == ("glam_vision", "onnxruntime", 8)
    assert [(tensor.name, tensor.data_type, list(tensor.dims)) for tensor in config.input] == [
        ("image", 11, [1, 126, 126])  # TYPE_FP32
    ]
    assert [(tensor.name, list(tensor.dims)) for tensor in config.output] == [
        ("image_embedding", [16]),
        ("patches", [81, 32]),
    ]
    assert config.dynamic_batching.max_queue_delay_microseconds > 0
    assert config.parameters["bundle_sha256"].string_value == random_bundle.sha256
    text = config_proto(triton_repository / "glam_text" / "config.pbtxt")
    assert [(tensor.data_type, list(tensor.dims)) for tensor in text.input] == [(9, [-1]), (9, [-1])]  # TYPE_INT64


def test_the_ensemble_asks_for_this_bundles_graphs_by_their_version(
    triton_repository: Path, random_bundle: Bundle, config_proto
):
    config = config_proto(triton_repository / BREAST / "config.pbtxt")
    steps = config.ensemble_scheduling.step
    assert [step.model_name for step in steps] == ["glam_vision", "glam_vision", "glam_alignment"]
    assert {step.model_version for step in steps} == {int(model_version(random_bundle.sha256))}


def test_weights_beside_a_graph_go_with_it_under_their_name(random_bundle: Bundle, tmp_path: Path):
    folder, out = shutil.copytree(random_bundle.folder, tmp_path / "bundle"), tmp_path / "out"
    onnx.save_model(
        onnx.load(folder / "vision.onnx"),
        folder / "vision.onnx",
        save_as_external_data=True,
        location="vision.onnx.data",
    )
    names = ("vision.onnx", "vision.onnx.data")
    hashes = random_bundle.file_hashes | {name: file_sha256(folder / name) for name in names}
    write_model(replace(random_bundle, folder=folder, file_hashes=hashes), "vision", out)
    model = model_of(out, "vision", random_bundle)
    assert sorted(path.name for path in model.parent.iterdir()) == ["model.onnx", "vision.onnx.data"]
    weights = [
        {entry.name: onnx.numpy_helper.to_array(entry).tobytes() for entry in onnx.load(path).graph.initializer}
        for path in (model, random_bundle.folder / "vision.onnx")
    ]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("has_old", [False, True])
def test_a_file_swapped_after_it_was_verified_leaves_what_was_there(
    random_bundle: Bundle, tmp_path: Path, has_old: bool
):
    folder, out = shutil.copytree(random_bundle.folder, tmp_path / "bundle"), tmp_path / "repository"
    bundle = read_bundle(folder)
    if has_old:
        write_repository(bundle, out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    shutil.copy(folder / "vision.onnx", folder / "text.onnx")
    with pytest.raises(BundleError, match="has changed since the export") as raised:
        write_repository(bundle, out, overwrite=True)
    assert raised.value.code == "bundle_changed"
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", *(["repository"] if has_old else [])]


def test_a_place_that_is_taken_is_refused_and_a_repository_is_replaced_on_demand(random_bundle: Bundle, tmp_path: Path):
    out = write_repository(random_bundle, tmp_path / "repository")
    with pytest.raises(BundleError, match="exists: choose another folder, or ask for --overwrite"):
        write_repository(random_bundle, out)
    (out / "glam_vision" / "stray").touch()
    write_repository(random_bundle, out, overwrite=True)
    assert not (out / "glam_vision" / "stray").exists()


def test_a_folder_of_something_else_is_never_replaced(random_bundle: Bundle, tmp_path: Path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(BundleError, match="was not written by glam-export triton and will not be replaced"):
        write_repository(random_bundle, tmp_path, overwrite=True)
    assert (tmp_path / "thesis.txt").exists()


def test_a_damaged_bundle_gives_no_repository(random_bundle: Bundle, tmp_path: Path, capsys):
    folder = shutil.copytree(random_bundle.folder, tmp_path / "bundle")
    (folder / "text.onnx").write_bytes(b"other")
    assert main(["triton", str(folder), "--out", str(tmp_path / "repository")]) == 1
    assert "has changed since the export" in capsys.readouterr().err
    assert not (tmp_path / "repository").exists()


# Licence


def test_a_bundle_that_stays_on_this_machine_is_refused_with_the_flag_that_keeps_it_here(
    kept_bundle: Bundle, tmp_path: Path
):
    with pytest.raises(LicenceError, match=r"\(may_serve and may_share false\).*ask for --keep-local.*loopback"):
        write_repository(kept_bundle, tmp_path / "repository")
    assert not (tmp_path / "repository").exists()
    out = write_repository(kept_bundle, tmp_path / "repository", keep_local=True)
    assert json.loads((out / REPOSITORY_FILE).read_text())["kept_local"] is True


@pytest.mark.parametrize(("permitted", "missing"), [("may_serve", "may_share"), ("may_share", "may_serve")])
def test_either_permission_missing_is_enough_to_refuse(
    kept_bundle: Bundle, tmp_path: Path, permitted: str, missing: str
):
    with pytest.raises(LicenceError, match=rf"\({missing} false\)"):
        write_repository(replace(kept_bundle, **{permitted: True}), tmp_path / "repository")


def test_the_command_tells_of_the_licence(kept_bundle: Bundle, tmp_path: Path, capsys):
    arguments = ["triton", str(kept_bundle.folder), "--out", str(tmp_path / "repository")]
    assert main(arguments) == 1
    assert "--keep-local" in capsys.readouterr().err
    assert main([*arguments, "--keep-local"]) == 0


# In a real server


@pytest.mark.slow
def test_triton_loads_the_repository_as_it_is_written(triton: TritonServer, random_bundle: Bundle):
    for name in GRAPHS:
        config = loaded_config(triton, f"glam_{name}")
        assert config["platform"] == "onnxruntime_onnx"
        assert config["parameters"]["bundle_sha256"]["string_value"] == random_bundle.sha256
    with urllib.request.urlopen(f"{triton.http_url}/v2/models/{BREAST}") as answer:
        assert json.load(answer)["versions"] == [model_version(random_bundle.sha256)]


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_ensemble_answers_as_onnx_runtime_step_by_step(triton: TritonServer, random_bundle: Bundle, protocol: str):
    module = pytest.importorskip(f"tritonclient.{protocol}")
    client = module.InferenceServerClient(getattr(triton, f"{protocol}_url").partition("//")[2])
    cc, mlo = np.random.default_rng(2).random((2, 3, 1, 126, 126), dtype=np.float32)
    inputs = [module.InferInput(name, list(cc.shape), "FP32") for name in ("image_cc", "image_mlo")]
    for entry, values in zip(inputs, (cc, mlo), strict=True):
        entry.set_data_from_numpy(values)
    answer = client.infer(BREAST, inputs)
    runtime = OnnxRuntime(random_bundle.folder, threads=1)
    views = {"cc": runtime.vision(cc), "mlo": runtime.vision(mlo)}
    expected = {f"embedding_{key}": out.embedding for key, out in views.items()}
    expected |= runtime.align(views["cc"].patches, views["mlo"].patches)._asdict()
    for name, reference in expected.items():
        np.testing.assert_allclose(answer.as_numpy(name), reference, rtol=0, atol=1e-5)
    client.close()


@pytest.mark.slow
def test_requests_that_come_together_run_together(triton: TritonServer, random_bundle: Bundle):
    grpc = pytest.importorskip("tritonclient.grpc")
    client = grpc.InferenceServerClient(triton.grpc_url.partition("//")[2])
    before = batch_counts(client)
    image = np.random.default_rng(3).random((1, 1, 126, 126), dtype=np.float32)
    entry = grpc.InferInput("image", list(image.shape), "FP32")
    entry.set_data_from_numpy(image)
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: client.infer("glam_vision", [entry]).as_numpy("image_embedding"), range(64)))
    expected = OnnxRuntime(random_bundle.folder, threads=1).vision(image).embedding
    for embedding in answers:
        np.testing.assert_allclose(embedding, expected, rtol=0, atol=1e-5)
    formed = {size: count - before.get(size, 0) for size, count in batch_counts(client).items()}
    assert sum(size * count for size, count in formed.items()) == 64
    assert max(size for size, count in formed.items() if count) > 1, f"no request was batched with another: {formed}"
    assert max(formed) <= 8
    client.close()


def batch_counts(client) -> dict[int, int]:
    """Size of a batch -> how often Triton has run one of vision."""
    (model,) = client.get_inference_statistics("glam_vision").model_stats
    return {entry.batch_size: entry.compute_infer.count for entry in model.batch_stats}


WRONG = {
    "dims": (
        "dims: [1, 126, 126]",
        "dims: [1, 126, 128]",
        r"image is .*128.* in config.pbtxt and .*126.* in the graph",
    ),
    "output": ('name: "patches"', 'name: "patch"', "the graph has no output patch"),
    "type": ('"patches" data_type: TYPE_FP32', '"patches" data_type: TYPE_FP16', "TYPE_FP16"),
    "backend": ('backend: "onnxruntime"', 'backend: "tensorrt"', "unable to find backend library"),
    "glam_vision": ('name: "glam_vision"', 'name: "vision"', "vision"),
}
"""Name of a model -> what its configuration says, what it says in place of that, and what the server says of it."""


@pytest.mark.slow
def test_a_wrong_configuration_is_refused_with_the_reason(triton_there: None, triton_repository: Path, tmp_path: Path):
    repository = shutil.copytree(triton_repository, tmp_path / "repository")
    for name, (right, wrong, _) in WRONG.items():
        model = shutil.copytree(triton_repository / "glam_vision", repository / name, dirs_exist_ok=True)
        written = (model / "config.pbtxt").read_text()
        assert right in written
        changed = written.replace(right, wrong).replace('name: "glam_vision"', f'name: "{name}"')
        (model / "config.pbtxt").write_text(changed)
    with pytest.raises(TritonError) as raised, triton_server(repository, tmp_path / "server"):
        pass
    said = str(raised.value).splitlines()
    for name, (_, _, reason) in WRONG.items():
        assert [line for line in said if re.search(rf"'{name}'.*{reason}", line)], "\n".join([name, *said])
