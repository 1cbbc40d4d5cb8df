"""Prompts, classes and prompt sets that come with a form."""

import json
import shutil
from pathlib import Path

import pytest

from glam.bundle import Bundle, read_bundle
from glam.predict import Predictor
from glam.words.prompt_sets import packaged_sets, unnamed_set
from glam_serve.limits import ServerOptions
from tests.samples.served import CLASSES, Served, error_of, serve_in_process

pytestmark = pytest.mark.filterwarnings("ignore:The LitServer has both batch and unbatch")

SHORT = packaged_sets()["glam-short"]


def test_a_set_is_asked_by_name_and_answered_with_its_hash(client: Served, files):
    form = {"prompts": '{"set": "glam-short"}', "include": "findings"}
    answer = client.post("/predict", files=files(cc="L_CC", mlo="L_MLO"), data=form).json()
    told = answer["prompt_set"]
    assert (told["name"], told["version"], told["sha256"]) == (SHORT.name, SHORT.version, SHORT.sha256)
    assert told["tasks"]["density"] == pytest.approx(answer["density"], abs=1e-4)
    assert answer["prompts"] == {}


def test_classes_come_with_the_request(client: Served, files, predictor: Predictor, mammograms):
    form = {"prompts": json.dumps({"classes": CLASSES})}
    told = client.post("/predict", files=files(cc="L_CC"), data=form).json()["prompt_set"]
    asked = unnamed_set(CLASSES)
    expected = predictor.predict(mammograms["L_CC"], prompts=asked).prompt_set
    assert (told["name"], told["sha256"]) == (None, asked.sha256)
    assert told["tasks"]["classes"] == pytest.approx(expected.tasks["classes"], abs=1e-5)


@pytest.mark.parametrize(
    "prompts",
    [
        ['{"set": "DOE^JANE"}'],
        ['{"set": 1}'],
        ['{"set": "glam-short", "classes": {}}'],
        ['{"classes": {"DOE^JANE": ["a"]}}'],
        ['{"classes": {"DOE^JANE": ["a"], "b": []}}'],
        ['{"classes": {"a": ["DOE^JANE", "DOE^JANE"], "b": ["x"]}}'],
        ['{"classes": {"a": ["x"], "a": ["y"]}}'],
        ['{"classes": {"a": ["\\ud800"], "b": ["x"]}}'],
        ['{"DOE^JANE": 1}'],
        ["{DOE^JANE"],
        ['{"set": "glam-short"}', "DOE^JANE"],
        ["a", '{"set": "glam-short"}'],
        ["[" * 100_000],
        ["{" * 100_000],
        [""],
    ],
)
def test_prompts_that_cannot_be_followed_are_refused_and_not_repeated(client: Served, files, prompts: list[str]):
    answer = client.post("/predict", files=files(cc="L_CC"), data={"prompts": prompts})
    assert error_of(answer) == (422, "bad_prompt", "prompts")


def test_the_refusal_of_an_unknown_set_names_those_that_there_are(client: Served, files):
    answer = client.post("/predict", files=files(cc="L_CC"), data={"prompts": '{"set": "no-such-set"}'})
    assert answer.json()["message"] == (
        "the prompts cannot be used: no prompt set here has that name: ask for one that there is (glam-short,"
        " mass-short), or send classes"
    )


def test_sentences_are_embedded_once(client: Served, files):
    form = {"prompts": ["a sentence nobody asked", "another one"]}
    client.asked.clear()
    for _ in range(2):
        assert client.post("/predict", files=files(cc="L_CC"), data=form).status_code == 200
    assert [request.tokens is not None for request in client.asked].count(True) == 1


def test_a_server_that_started_reads_no_file_of_its_bundle_any_more(
    random_bundle: Bundle, predictor: Predictor, files, tmp_path: Path
):
    copied = shutil.copytree(random_bundle.folder, tmp_path / "bundle")
    client = serve_in_process(read_bundle(copied), predictor)
    shutil.rmtree(copied)
    asked = [{"prompts": "a zebra"}, {"prompts": '{"set": "glam-short"}'}]
    answers = [client.post("/predict", files=files(cc="L_CC", mlo="L_MLO"), data=data) for data in asked]
    answers.append(client.post("/v1/embed/text", json={"texts": ["a mass"]}))
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert answers[0].json()["prompts"]["a zebra"]["unknown_words"] == ["zebra"]


def test_sets_of_a_folder_take_the_place_of_others(random_bundle: Bundle, predictor: Predictor, files, tmp_path: Path):
    lines = json.dumps({"format": 1, "name": "glam-short", "version": "7", "tasks": {"classes": CLASSES}})
    (tmp_path / "own.yaml").write_text(lines)  # JSON is YAML
    client = serve_in_process(random_bundle, predictor, options=ServerOptions(prompt_sets=tmp_path))
    answer = client.post("/predict", files=files(cc="L_CC"), data={"prompts": '{"set": "glam-short"}'})
    assert answer.json()["prompt_set"]["version"] == "7"
    assert client.post("/predict", files=files(cc="L_CC"), data={"prompts": '{"set": "none"}'}).status_code == 422
