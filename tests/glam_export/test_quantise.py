import json
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import glam_export.quantise as quantise
from glam.bundle import BundleError, read_bundle
from glam.loading import load, open_runtime, with_variant
from glam.runtime import onnx_session
from glam_export.accuracy import Accuracy, Change
from glam_export.cli import main
from glam_export.half import in_half
from glam_export.int8 import write_int8
from glam_export.parity import ParityError
from glam_export.quantise import RECIPES, Trial, add_variant, check_accuracy

SAME = Change(portable=0.8, variant=0.8)
PERFECT = Accuracy(
    files=8,
    files_cosine=1.0,
    golden_cosine=1.0,
    phantom_breasts=2,
    phantom_cosine=1.0,
    probabilities_max_abs=0.0,
    attention_max_abs=0.0,
    density_macro_auc=SAME,
    mass_auc=SAME,
    lesion_hit_at_1=SAME,
    tissue_hit_at_1=SAME,
)


@pytest.fixture(scope="module")
def with_all(random_bundle, mammograms, tmp_path_factory):
    """A bundle with every variant, made by the command."""
    folder = shutil.copytree(random_bundle.folder, tmp_path_factory.mktemp("variants") / "bundle")
    files = [str(path) for path in mammograms.values()]
    for name in RECIPES:
        assert main(["quantise", str(folder), "--variant", name, "--exams", "1", "--files", *files]) == 0
    return folder


@pytest.fixture
def copied(with_all, tmp_path):
    return shutil.copytree(with_all, tmp_path / "bundle")


def test_bundle_says_of_each_variant_how_it_answers(with_all):
    variants = read_bundle(with_all).variants
    assert set(variants) == {"fused", "int8", "fp16", "bf16"}
    for name, recipe in RECIPES.items():
        said = variants[name]["accuracy"]
        assert said["files"] == 4
        assert 1 - said["files_cosine"] < 1 - recipe.tolerance.min_cosine
        assert said["phantom_breasts"] == 2
        assert 0 < said["probabilities_max_abs"] <= recipe.max_probability_error
        assert said["tissue_hit_at_1"]["portable"] is not None
        assert said["density_macro_auc"] == {"portable": None, "variant": None}  # of two breasts
        assert variants[name]["parity"]["image_cosine"] >= recipe.tolerance.min_cosine


def test_card_has_a_table_of_each_variant(with_all, capsys):
    assert main(["card", str(with_all)]) == 0
    card = capsys.readouterr().out
    for name in ("fused", "int8", "fp16", "bf16"):
        assert f"## Variant {name}\n" in card
    assert "| files_cosine | 0.99" in card
    assert "| density_macro_auc | not measured |" in card


def test_verify_names_the_variants(with_all, capsys):
    assert main(["verify", str(with_all)]) == 0
    assert json.loads(capsys.readouterr().out)["variants"] == ["fused", "int8", "fp16", "bf16"]


@pytest.mark.parametrize("name", ["fused", "int8", "fp16"])
def test_answer_says_which_variant_it_is_of_and_is_close(with_all, mammograms, name):
    views = mammograms["L_CC"], mammograms["L_MLO"]
    right = load(with_all, threads=1, variant="portable").predict(*views)
    answer = load(with_all, threads=1, variant=name).predict(*views)
    assert (right.as_json()["variant"], answer.as_json()["variant"]) == ("portable", name)
    assert answer.embedding @ right.embedding > 0.999
    if name != "fused":
        assert np.abs(answer.embedding - right.embedding).max() > 0


def test_fused_graphs_answer_on_a_cpu_unless_others_are_asked_for(with_all):
    bundle = read_bundle(with_all, verify=False)
    assert with_variant(bundle, None).variant == "fused"
    assert with_variant(bundle, None, provider="CUDAExecutionProvider").variant == "fused"
    assert with_variant(bundle, None, provider="TensorrtExecutionProvider").variant == "portable"
    assert with_variant(replace(bundle, variants={}), None).variant == "portable"


def test_variant_that_is_not_there_is_refused_with_the_command_that_makes_it(random_bundle):
    with pytest.raises(BundleError, match=r"has no variant int8, only portable, fused: glam-export quantise .* int8"):
        load(random_bundle.folder, variant="int8")


def test_bf16_is_refused_on_a_cpu(with_all):
    with pytest.raises(BundleError, match="multiplies no bfloat16 matrices"):
        load(with_all, variant="bf16")


@pytest.mark.parametrize("name", ["fp16", "bf16"])
def test_half_precision_graphs_take_and_give_float32(with_all, name):
    for graph in ("vision.onnx", "alignment.onnx", "text.onnx"):
        proto = onnx.load(with_all / "variants" / name / graph)
        kinds = {entry.type.tensor_type.elem_type for entry in proto.graph.output}
        assert kinds == {TensorProto.FLOAT}
        half = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}[name]
        assert any(tensor.data_type == half for tensor in proto.graph.initializer)
        onnx.checker.check_model(proto, full_check=True)


def test_int8_graph_multiplies_unsigned_integers(with_all):
    graph = onnx.load(with_all / "variants/int8/vision.onnx").graph
    weights = {node.input[1] for node in graph.node if node.op_type == "MatMulInteger"}
    assert weights
    assert {entry.data_type for entry in graph.initializer if entry.name in weights} == {TensorProto.UINT8}
    assert (with_all / "variants/int8/vision.onnx").stat().st_size < (with_all / "vision.onnx").stat().st_size


def product_graph(weights, size=2):
    """A graph of one product with a matrix of weights."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["numbers", "weights"], ["product"])],
        "product",
        [helper.make_tensor_value_info("numbers", TensorProto.FLOAT, [1, size])],
        [helper.make_tensor_value_info("product", TensorProto.FLOAT, [1, 1])],
        initializer=[numpy_helper.from_array(np.float32(weights), "weights")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_sums_of_large_products_do_not_saturate(tmp_path):
    onnx.save(product_graph(np.ones((512, 1)), size=512), tmp_path / "product.onnx")
    write_int8(tmp_path / "product.onnx", tmp_path / "int8.onnx", scratch=tmp_path)
    (product,) = onnx_session(tmp_path / "int8.onnx").run(None, {"numbers": np.ones((1, 512), np.float32)})
    assert product.item() == pytest.approx(512, rel=0.01)


@pytest.mark.parametrize(("half", "rounded"), [("fp16", 1.0009765625), ("bf16", 1.0)])
def test_operands_are_rounded_to_the_type(half, rounded, tmp_path):
    onnx.save(in_half(product_graph([[1.001], [0]]), half, emulated=True), tmp_path / "product.onnx")
    (product,) = onnx_session(tmp_path / "product.onnx").run(None, {"numbers": np.float32([[1, 0]])})
    assert product.item() == rounded


def test_weight_beyond_the_range_of_fp16_is_refused_and_bf16_takes_it():
    graph = product_graph([[1e5], [1]])
    with pytest.raises(ValueError, match="100000 is beyond the range of fp16: choose bf16"):
        in_half(graph, "fp16")
    in_half(graph, "bf16")


def outlier_channels(folder):
    """Give the vision graphs channels of 300 times the others' size, which the next matrix takes back.

    The LayerNorm before a matrix is multiplied and the matrix divided: in float32 nothing changes.
    """
    gains = np.ones(32, np.float32)
    gains[::11] = 300
    for path in (folder / "vision.onnx", folder / "variants/fused/vision.onnx"):
        proto = onnx.load(path)
        for norm in [node for node in proto.graph.node if node.op_type == "LayerNormalization"]:
            consumers = [node for node in proto.graph.node if norm.output[0] in node.input]
            if [node.op_type for node in consumers] == ["MatMul"]:
                scale(proto.graph, norm, 1, gains)
                scale(proto.graph, norm, 2, gains)
                scale(proto.graph, consumers[0], 1, 1 / gains[:, None])
        onnx.save(proto, path)


def scale(graph, node, position, factor):
    """Multiply a weight of a node, in a copy of its own: norms share theirs."""
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}[node.input[position]]
    name = f"{node.output[0]}_scaled_{position}"
    graph.initializer.append(numpy_helper.from_array((values * factor).astype(np.float32), name))
    node.input[position] = name


def sign_anew(folder):
    """Write the hashes of files that a test changed into bundle.json."""
    from glam.bundle_files import list_files

    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["files"] = {name: entry for name, entry in list_files(folder).items() if name != "bundle.json"}
    (folder / "bundle.json").write_text(json.dumps(manifest))


def test_int8_of_a_model_with_outlier_channels_is_refused_and_the_bundle_stays(random_bundle, mammograms, tmp_path):
    folder = shutil.copytree(random_bundle.folder, tmp_path / "bundle")
    outlier_channels(folder)
    sign_anew(folder)
    bundle = read_bundle(folder)
    ours = open_runtime(bundle, threads=1).vision(np.full((1, 1, 126, 126), 0.5)).embedding
    theirs = open_runtime(random_bundle, threads=1).vision(np.full((1, 1, 126, 126), 0.5)).embedding
    np.testing.assert_allclose(ours, theirs, atol=1e-4)  # the same function
    with pytest.raises(ParityError, match=r"as the bundle does: image_cosine is -?0\.\d+.*cosine >= 0\.999"):
        add_variant(folder, "int8", Trial(files=tuple(mammograms.values()), num_exams=0))
    assert read_bundle(folder).sha256 == bundle.sha256
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    add_variant(folder, "bf16", Trial(files=tuple(mammograms.values()), num_exams=0))


def test_int8_without_a_real_file_is_refused(random_bundle, monkeypatch, capsys):
    monkeypatch.setattr("glam_export.cli.package_films", tuple)
    assert main(["quantise", str(random_bundle.folder), "--variant", "int8"]) == 1
    assert "give DICOM files of your data with --files" in capsys.readouterr().err


def test_file_that_is_no_mammogram_is_named(random_bundle, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("notes")
    words = ["--variant", "int8", "--files", str(tmp_path / "notes.txt"), "--exams", "0"]
    assert main(["quantise", str(random_bundle.folder), *words]) == 1
    assert f"{tmp_path / 'notes.txt'} cannot be used" in capsys.readouterr().err


def test_gate_can_be_tightened_and_not_loosened(random_bundle, mammograms):
    files = tuple(mammograms.values())
    with pytest.raises(ParityError, match=r"cosine >= 0\.9999999"):
        add_variant(random_bundle.folder, "int8", Trial(files=files, num_exams=0, min_cosine=0.9999999))
    with pytest.raises(ValueError, match=r"int8 is refused below cosine 0\.999"):
        add_variant(random_bundle.folder, "int8", Trial(files=files, num_exams=0, min_cosine=0.99))


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("files_cosine", 0.9989),
        ("golden_cosine", 0.9989),
        ("phantom_cosine", float("nan")),
        ("probabilities_max_abs", 0.06),
        ("attention_max_abs", float("nan")),
        ("density_macro_auc", Change(portable=0.9, variant=0.87)),
        ("mass_auc", Change(portable=0.9, variant=0.87)),
        ("tissue_hit_at_1", Change(portable=0.9, variant=0.87)),
    ],
)
def test_figure_beyond_its_tolerance_fails_by_name(name, bad):
    check_accuracy(PERFECT, RECIPES["int8"], "int8")
    with pytest.raises(ParityError, match=f"{name} is"):
        check_accuracy(replace(PERFECT, **{name: bad}), RECIPES["int8"], "int8")


def test_variant_made_anew_takes_the_place_of_the_old_one(copied, mammograms):
    before = read_bundle(copied).file_hashes
    add_variant(copied, "fp16", Trial(files=tuple(mammograms.values()), num_exams=0))
    after = read_bundle(copied)
    assert after.file_hashes == before
    assert after.variants["fp16"]["accuracy"]["phantom_breasts"] == 0


@pytest.mark.parametrize("name", ["variants/int8/weights.pkl", "variants/int8/text.onnx", "variants/int4/vision.onnx"])
def test_file_planted_in_a_variant_is_refused(copied, name):
    (copied / name).parent.mkdir(exist_ok=True)
    (copied / name).write_bytes(b"cos\nsystem\n")
    with pytest.raises(BundleError) as caught:
        read_bundle(copied)
    assert caught.value.code == "bundle_stray"
    sign_anew(copied)  # whoever plants it may list it, too
    with pytest.raises(BundleError) as caught:
        read_bundle(copied)
    assert caught.value.code == "bundle_stray"


def test_link_in_a_variant_is_refused(copied, tmp_path):
    path = copied / "variants/int8/vision.onnx"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="is a link"):
        read_bundle(copied)


@pytest.mark.parametrize("name", ["int4", "../int8", "portable"])
def test_manifest_with_a_variant_of_another_name_is_refused(copied, name):
    manifest = json.loads((copied / "bundle.json").read_text())
    manifest["variants"][name] = {"graphs": ["vision.onnx"]}
    (copied / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError) as caught:
        read_bundle(copied)
    assert caught.value.code == "bundle_unreadable"


@pytest.mark.parametrize("graphs", [[], ["weights.pkl"], None, "vision.onnx"])
def test_variant_with_graphs_of_no_meaning_is_refused(copied, graphs):
    manifest = json.loads((copied / "bundle.json").read_text())
    manifest["variants"]["int8"]["graphs"] = graphs
    (copied / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError) as caught:
        read_bundle(copied)
    assert caught.value.code == "bundle_unreadable"


def test_variant_whose_file_is_missing_is_incomplete(copied):
    (copied / "variants/int8/vision.onnx").unlink()
    with pytest.raises(BundleError) as caught:
        read_bundle(copied)
    assert caught.value.code == "bundle_incomplete"
    sign_anew(copied)
    with pytest.raises(BundleError) as caught:
        read_bundle(copied)
    assert caught.value.code == "bundle_incomplete"


@pytest.mark.parametrize("name", ["text.onnx", "variants/fp16/text.onnx"])
def test_text_graph_that_is_swapped_after_the_start_is_refused_when_the_first_text_comes(copied, name):
    bundle = with_variant(read_bundle(copied), "fp16" if "fp16" in name else "portable")
    runtime = open_runtime(bundle, threads=1)
    shutil.copy(copied / "variants/bf16/text.onnx", copied / name)
    with pytest.raises(BundleError) as caught:
        runtime.text(np.ones((1, 4), np.int64), np.ones((1, 4), np.int64))
    assert caught.value.code == "bundle_changed"


def test_variant_that_vanishes_after_the_start_is_no_silent_fall_back(copied):
    runtime = open_runtime(with_variant(read_bundle(copied), "fp16"), threads=1)
    (copied / "variants/fp16/text.onnx").unlink()
    with pytest.raises(BundleError, match="is missing"):
        runtime.warm_up()


def test_weights_beside_a_variant_s_graph_belong_to_the_bundle(random_bundle, mammograms, tmp_path, monkeypatch):
    monkeypatch.setattr("glam_export.onnx.EXTERNAL_DATA_BYTES", 0)
    folder = shutil.copytree(random_bundle.folder, tmp_path / "bundle")
    for name in ("fp16", "int8"):
        bundle = add_variant(folder, name, Trial(files=tuple(mammograms.values()), num_exams=0))
        assert f"variants/{name}/vision.onnx.data" in bundle.file_hashes
    (folder / "variants/int8/vision.onnx.data").write_bytes(b"other")
    with pytest.raises(BundleError, match=r"vision.onnx.data has changed"):
        read_bundle(folder)


def test_quantise_is_a_wrong_command_line_for_other_numbers():
    with pytest.raises(SystemExit) as caught:
        main(["quantise", "bundle", "--variant", "int4"])
    assert caught.value.code == 2
    assert set(quantise.RECIPES) == {"int8", "fp16", "bf16"}
