import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from glam_serve.demo import CURL, DemoError, chosen_views, curl_command, place, summary

ROOT = Path(__file__).parents[2]


def test_without_files_the_real_pair_is_taken():
    views = chosen_views("", "")
    assert [path.name for path in views.values()] == ["1-280.dcm", "1-281.dcm"]
    assert all(path.is_file() for path in views.values())


def test_a_compiler_named_by_the_environment_is_no_mammogram():
    assert chosen_views("gcc", "", cc_of_environment=True) == chosen_views("", "")


@pytest.mark.parametrize(("name", "of_environment"), [("typo.dcm", False), ("gcc", False), ("typo.dcm", True)])
def test_a_missing_cc_is_named_and_not_replaced_by_the_real_pair(name: str, of_environment: bool):
    with pytest.raises(DemoError, match=rf"no file at {name}, given as CC"):
        chosen_views(name, "", cc_of_environment=of_environment)


@pytest.mark.parametrize(
    ("words", "variables", "expected"),
    [
        ((), {}, '--cc "" --mlo ""'),
        ((), {"CC": "gcc"}, '--cc "gcc" --cc-of-environment --mlo ""'),
        (("CC=typo.dcm",), {}, '--cc "typo.dcm" --mlo ""'),
        (("CC=typo.dcm",), {"CC": "gcc"}, '--cc "typo.dcm" --mlo ""'),
    ],
)
def test_make_says_where_cc_comes_from(words: tuple[str, ...], variables: dict[str, str], expected: str):
    environment = {name: value for name, value in os.environ.items() if name not in {"CC", "MLO", "MAKEFLAGS"}}
    command = ["make", "--dry-run", "--directory", str(ROOT), "demo", *words]
    outcome = subprocess.run(command, env=environment | variables, capture_output=True, text=True, check=True)
    assert f"glam_serve.demo {expected}" in " ".join(outcome.stdout.split())


def test_the_caller_may_give_one_view_alone(tmp_path: Path):
    file = tmp_path / "mine.dcm"
    file.touch()
    assert chosen_views(str(file), "") == {"cc": file}
    assert chosen_views("", str(file)) == {"mlo": file}


def test_a_file_in_the_way_is_not_deleted(tmp_path: Path):
    mine = tmp_path / "CC.dcm"
    mine.write_bytes(b"mine")
    with pytest.raises(DemoError, match="in the demo's way"):
        place({"mlo": mine}, tmp_path)
    assert place({"cc": mine}, tmp_path) == {"cc": mine}
    assert mine.read_bytes() == b"mine"


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(DemoError, match=r"no file at .*nowhere\.dcm, given as MLO"):
        chosen_views("", str(tmp_path / "nowhere.dcm"))


def test_files_are_linked_under_the_names_of_the_command_and_old_links_go(tmp_path: Path):
    file = tmp_path / "with space.dcm"
    file.write_bytes(b"x")
    out = tmp_path / "out"
    out.mkdir()
    place({"cc": file, "mlo": file}, out)
    links = place({"mlo": file}, out)
    assert links == {"mlo": out / "MLO.dcm"}
    assert [link.name for link in out.iterdir()] == ["MLO.dcm"]
    assert links["mlo"].read_bytes() == b"x"


def test_the_command_is_the_readmes():
    both = {"cc": Path(), "mlo": Path()}
    assert curl_command(both, port=8000) == CURL
    assert curl_command(both, port=4711) == CURL.replace("8000", "4711")
    assert curl_command({"mlo": Path()}, port=8000) == "curl -F mlo=@MLO.dcm http://127.0.0.1:8000/predict"


def test_server_and_glam_predict_must_agree():
    answer = {"embedding": [0.6, 0.8], "views": {"cc": {"findings": [{"code": "film"}]}}, "findings": []}
    answer |= {"laterality": "L", "birads": {}, "density": {}, "calibrated": False, "missing": ["mlo"]}
    answer |= {"bundle": "", "notice": "research use only, not for diagnosis"}
    assert summary(answer, {"embedding": [0.6, 0.8]})["findings"] == ["film"]
    with pytest.raises(DemoError, match="the embeddings of the server and of glam predict differ"):
        summary(answer, {"embedding": [0.6, 0.81]})


@pytest.mark.slow
def test_the_demo_goes_from_two_real_mammograms_to_a_picture_and_leaves_nothing(tmp_path: Path):
    process = subprocess.run(
        [sys.executable, "-m", "glam_serve.demo", "--out", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    shown = json.loads(process.stdout)
    assert shown["laterality"] == "L"
    assert "film" in shown["findings"]
    assert sum(shown["density"].values()) == pytest.approx(1, abs=1e-3)
    assert (tmp_path / "attention.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "prediction.json").read_text())["views"].keys() == {"cc", "mlo"}
    assert re.search(r"^\$ curl -F cc=@CC\.dcm -F mlo=@MLO\.dcm http://127\.0\.0\.1:\d+/predict$", process.stderr, re.M)


@pytest.mark.slow
def test_an_interrupted_demo_stops_its_server(tmp_path: Path):
    demo = subprocess.Popen(
        [sys.executable, "-m", "glam_serve.demo", "--out", str(tmp_path)], stderr=subprocess.DEVNULL
    )
    children: list[str] = []
    deadline = time.monotonic() + 60
    while not children and time.monotonic() < deadline:
        time.sleep(0.05)
        children = Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text().split()
    assert children
    demo.send_signal(signal.SIGTERM)
    assert demo.wait(30) == 143
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.killpg(int(child), 0)
