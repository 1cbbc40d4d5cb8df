import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glam.bundle import Bundle
from glam.cli import Inspect, Phantom, missing_module, said
from glam.findings import InputError
from glam.predict_command import Predict, UsageError, parse_point

FILES = ("prediction.json", "attention.png", "embeddings.npz")


def printed(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out)


def glam(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "glam.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_predict_writes_three_files_and_prints_a_summary(
    random_bundle: Bundle, mammograms: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    files = (mammograms["R_CC"], mammograms["R_MLO"])
    Predict(files=files, out=tmp_path, bundle=random_bundle.folder, prompts=("a zebra",), threads=1).run()
    shown = printed(capsys)
    assert shown["laterality"] == "R"
    assert shown["unknown_words"] == ["zebra"]
    assert shown["query"]["view"] != shown["query"]["hottest"]["view"]
    assert shown["notice"] == "research use only, not for diagnosis"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)
    answer = json.loads((tmp_path / "prediction.json").read_text())
    assert answer["birads"] == shown["birads"]
    assert (tmp_path / "attention.png").read_bytes().startswith(b"\x89PNG")
    with np.load(tmp_path / "embeddings.npz") as arrays:
        assert sorted(arrays) == ["breast", "cc", "mlo"]
        np.testing.assert_allclose(arrays["breast"], answer["embedding"], atol=1e-6)


def test_embeddings_that_stay_on_the_machine_are_not_written(
    kept_bundle: Bundle, mammograms: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "embeddings.npz").write_bytes(b"of an older answer")
    files = (mammograms["L_CC"], mammograms["L_MLO"])
    Predict(files=files, out=tmp_path, bundle=kept_bundle.folder, include=("embedding", "attention"), threads=1).run()
    told = capsys.readouterr()
    shown = json.loads(told.out)
    assert told.err.startswith("glam: embedding_withheld: the model's licence keeps embeddings on the machine")
    assert "--keep-local" in told.err
    assert shown["embeddings"] is None
    assert "embedding_withheld" in shown["findings"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["attention.png", "prediction.json"]
    answer = json.loads((tmp_path / "prediction.json").read_text())
    assert [answer["embedding"], *(view["embedding"] for view in answer["views"].values())] == [None, None, None]
    assert [finding["code"] for finding in answer["findings"]] == ["embedding_withheld"]
    assert answer["attention"] is not None
    assert sum(answer["density"].values()) == pytest.approx(1, abs=1e-5)


def test_an_answer_that_was_not_asked_for_embeddings_has_none_and_no_finding_of_it(
    kept_bundle: Bundle, mammograms: dict[str, Path], tmp_path: Path
):
    Predict(files=(mammograms["L_CC"],), out=tmp_path, bundle=kept_bundle.folder, include=("findings",)).run()
    answer = json.loads((tmp_path / "prediction.json").read_text())
    assert "embedding" not in answer
    assert [finding["code"] for finding in answer["findings"]] == ["lone_view"]
    assert not (tmp_path / "embeddings.npz").exists()


def test_embeddings_are_written_to_stay_here_on_request(
    kept_bundle: Bundle, mammograms: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    Predict(files=(mammograms["L_CC"],), out=tmp_path, bundle=kept_bundle.folder, keep_local=True).run()
    told = capsys.readouterr()
    assert "must not leave this machine" in told.err
    assert json.loads(told.out)["embeddings"] == str(tmp_path / "embeddings.npz")
    answer = json.loads((tmp_path / "prediction.json").read_text())
    with np.load(tmp_path / "embeddings.npz") as arrays:
        np.testing.assert_allclose(arrays["cc"], answer["views"]["cc"]["embedding"], atol=1e-6)
    assert "embedding_withheld" not in json.loads(told.out)["findings"]


def test_an_exam_is_answered_in_any_order_and_says_what_became_of_each_file(
    random_bundle: Bundle, mammograms: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(mammograms["L_CC"].read_bytes()[:1000])
    exam = (mammograms["R_MLO"], broken, mammograms["L_MLO"], mammograms["R_CC"])
    out = tmp_path / "out"
    Predict(files=(), exam=exam, out=out, bundle=random_bundle.folder, prompt_set="glam-short", threads=1).run()
    shown = printed(capsys)
    assert [(entry["image"], entry["laterality"], entry["view"]) for entry in shown["used"]] == [
        (1, "R", "MLO"),
        (3, "L", "MLO"),
        (4, "R", "CC"),
    ]
    assert [(entry["image"], entry["code"]) for entry in shown["left_out"]] == [(2, "truncated")]
    assert shown["missing"] == ["L_CC"]
    assert shown["prompt_set"]["name"] == "glam-short"
    assert shown["breasts"]["L"]["query"] is None
    assert shown["breasts"]["R"]["query"] is not None
    assert sorted(path.name for path in out.iterdir()) == [
        "attention_L.png",
        "attention_R.png",
        "embeddings.npz",
        "prediction.json",
    ]
    answer = json.loads((out / "prediction.json").read_text())
    assert answer["density"] == shown["density"]
    with np.load(out / "embeddings.npz") as arrays:
        assert sorted(arrays) == ["L", "L_mlo", "R", "R_cc", "R_mlo", "exam"]
        np.testing.assert_allclose(arrays["exam"], answer["embedding"], atol=1e-6)
    for side, files in (("R", (mammograms["R_CC"], mammograms["R_MLO"])), ("L", (mammograms["L_MLO"],))):
        Predict(files=files, out=tmp_path / side, bundle=random_bundle.folder, threads=1).run()
        alone = printed(capsys)
        for name, probability in alone["density"].items():
            assert shown["breasts"][side]["density"][name] == pytest.approx(probability, abs=1e-4)


def test_a_prompt_set_is_one_of_the_package_or_a_file(
    random_bundle: Bundle, mammograms: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "own.yaml"
    path.write_text("format: 1\nname: own\nversion: '2'\ntasks: {mass: {none: [No mass is present], some: [A mass]}}\n")
    common: dict[str, Any] = {"files": (mammograms["L_CC"],), "out": tmp_path / "out", "bundle": random_bundle.folder}
    Predict(**common, prompt_set=str(path)).run()
    shown = printed(capsys)
    assert (shown["prompt_set"]["name"], shown["prompt_set"]["version"]) == ("own", "2")
    assert sum(shown["prompt_set"]["tasks"]["mass"].values()) == pytest.approx(1, abs=1e-5)
    with pytest.raises(UsageError, match="neither a YAML file nor one of"):
        Predict(**common, prompt_set="no-such-set").run()
    with pytest.raises(UsageError, match="either --prompts or --prompt-set"):
        Predict(**common, prompt_set=str(path), prompts=("a mass",)).run()


def test_an_exam_takes_no_side_no_point_and_no_other_file(mammograms: dict[str, Path]):
    exam = (mammograms["L_CC"],)
    others: tuple[dict[str, Any], ...] = ({"files": exam}, {"cc": exam[0]}, {"laterality": "L"}, {"point": "1,2"})
    for other in others:
        with pytest.raises(UsageError, match="--exam takes its files alone"):
            Predict(**({"files": (), "exam": exam} | other)).run()


def test_torch_answers_as_onnx_does(
    random_bundle: Bundle, random_checkpoint: Path, mammograms: dict[str, Path], tmp_path: Path
):
    files = (mammograms["L_CC"], mammograms["L_MLO"])
    Predict(files=files, out=tmp_path / "onnx", bundle=random_bundle.folder).run()
    Predict(
        files=files,
        out=tmp_path / "torch",
        bundle=random_bundle.folder,
        runtime="torch",
        checkpoint=random_checkpoint,
    ).run()
    answers = [json.loads((tmp_path / kind / "prediction.json").read_text()) for kind in ("onnx", "torch")]
    np.testing.assert_allclose(answers[0]["embedding"], answers[1]["embedding"], atol=2e-5)
    np.testing.assert_allclose(answers[0]["attention"]["cc_to_mlo"], answers[1]["attention"]["cc_to_mlo"], atol=2e-4)


def test_one_file_goes_where_its_header_says(
    random_bundle: Bundle, mammograms: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    Predict(files=(mammograms["L_MLO"],), out=tmp_path, bundle=random_bundle.folder).run()
    shown = printed(capsys)
    assert shown["missing"] == ["cc"]
    assert shown["query"] is None


def test_a_named_view_is_checked_against_its_header(random_bundle: Bundle, mammograms: dict[str, Path], tmp_path: Path):
    with pytest.raises(InputError) as error:
        Predict(files=(), cc=mammograms["L_MLO"], out=tmp_path, bundle=random_bundle.folder).run()
    assert error.value.code == "view_mismatch"


@pytest.mark.parametrize("count", [0, 3])
def test_too_few_and_too_many_files_are_a_wrong_command_line(count: int):
    with pytest.raises(UsageError, match="give CC and MLO"):
        Predict(files=(Path("a.dcm"),) * count).run()
    with pytest.raises(UsageError, match="give CC and MLO"):
        Predict(files=(Path("a.dcm"),), cc=Path("b.dcm")).run()


def test_a_point_is_two_numbers():
    assert parse_point("12,34.5") == (12.0, 34.5)
    for text in ("12", "1,2,3", "a,b"):
        with pytest.raises(UsageError, match="is not X,Y"):
            parse_point(text)


def test_inspect_prints_what_was_found_and_nothing_of_the_patient(
    random_bundle: Bundle, mammograms: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    png = tmp_path / "square.png"
    Inspect(files=(mammograms["L_MLO"],), bundle=random_bundle.folder, png=png).run()
    text = capsys.readouterr().out
    (shown,) = json.loads(text)["files"]
    assert (shown["view"], shown["laterality"], shown["digital"]) == ("MLO", "L", True)
    assert shown["frame"]["size"] == 126
    assert "PHANTOM-" not in text
    assert png.read_bytes().startswith(b"\x89PNG")


def test_phantom_writes_four_views_an_exam(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    Phantom(out=tmp_path, exams=1, seed=11).run()
    shown = printed(capsys)
    assert Path(shown["manifest"]).is_file()
    assert len(list(tmp_path.rglob("*.dcm"))) == 4


def test_a_file_that_is_no_mammogram_is_told_on_both_streams(tmp_path: Path):
    stray = tmp_path / "stray.dcm"
    stray.write_text("hello")
    outcome = glam("inspect", stray)
    assert outcome.returncode == 1
    assert json.loads(outcome.stdout)["files"][0]["code"] == "not_dicom"
    count, line = outcome.stderr.splitlines()
    assert count == "glam: 1 of 1 files cannot be used"
    assert line.startswith(f"{stray}: not_dicom: this is not a DICOM file")


@pytest.mark.parametrize(
    "words",
    [
        ("predict",),
        ("nonsense",),
        ("inspect",),
        ("predict", "--point", "x", "a", "b"),
        ("predict", "a.dcm", "--include", "nonsense"),
    ],
)
def test_a_wrong_command_line_exits_with_2(words: tuple[str, ...]):
    outcome = glam(*words)
    assert (outcome.returncode, outcome.stdout) == (2, "")


def test_a_missing_file_is_named():
    outcome = glam("inspect", "nowhere.dcm")
    assert outcome.returncode == 1
    assert "nowhere.dcm" in outcome.stderr


def test_an_error_shows_its_code():
    assert said(InputError("no_breast", "nothing to see", "cc")) == "no_breast: cc: nothing to see"
    assert said(ValueError("plain")) == "plain"


@pytest.mark.parametrize(("module", "extra"), [("scipy", "phantom"), ("tyro", "predict")])
def test_a_command_without_its_extra_names_it(module: str, extra: str, tmp_path: Path):
    code = f"import sys; sys.modules[{module!r}] = None; sys.argv = ['glam', 'phantom', '--out', {str(tmp_path)!r}]; "
    code += "import glam.cli; glam.cli.main()"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert outcome.returncode == 1
    assert outcome.stderr == f'glam: {module} is not installed: pip install "glam-mammo[{extra}]"\n'


def test_a_module_of_ours_that_is_missing_is_a_bug_and_stays_one():
    with pytest.raises(ModuleNotFoundError, match="glam_nowhere"):
        missing_module(ModuleNotFoundError("No module named 'glam_nowhere'", name="glam_nowhere"))


def test_help_loads_nothing_but_the_command_line():
    code = "import atexit, sys; sys.argv = ['glam', '--help']; import glam.cli; "
    code += "atexit.register(lambda: print(*sys.modules, file=sys.stderr)); glam.cli.main()"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for command in ("predict", "inspect", "phantom"):
        assert command in outcome.stdout
    heavy = {"numpy", "cv2", "pydicom", "onnxruntime", "PIL", "torch", "scipy", "tokenizers"}
    assert not heavy & {name.partition(".")[0] for name in outcome.stderr.split()}
