import json
import os
from pathlib import Path

import pytest

from glam.bundle import Bundle
from glam.predict import Predictor
from glam.words.prompt_sets import (
    MAX_CLASSES,
    MAX_SENTENCE_CHARS,
    MAX_SENTENCES,
    PromptSet,
    packaged_sets,
    prompt_set,
    read_prompt_set,
    sets_in,
    unnamed_set,
)
from glam.words.report import class_prompts

SHORT = """
format: 1
name: mass-short
version: "1"
tasks:
  mass:
    "no mass": [No mass is present]
    "mass": [A mass is present, There is a mass in this breast]
"""


def file(folder: Path, text: str, name: str = "set.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_is_read_as_written_in_its_order(tmp_path: Path):
    read = read_prompt_set(file(tmp_path, SHORT))
    assert (read.name, read.version) == ("mass-short", "1")
    assert list(read.tasks["mass"]) == ["no mass", "mass"]
    assert read.tasks["mass"]["mass"] == ("A mass is present", "There is a mass in this breast")
    assert read.sentences == ("No mass is present", "A mass is present", "There is a mass in this breast")


def test_the_hash_is_of_the_content_not_of_the_layout(tmp_path: Path):
    plain = read_prompt_set(file(tmp_path, SHORT)).sha256
    other = SHORT.replace("[No mass is present]", "\n      - No mass is present   # a comment")
    assert read_prompt_set(file(tmp_path, other)).sha256 == plain
    assert (
        prompt_set(json.loads(json.dumps({"format": 1, "name": "mass-short", "version": "1"} | tasks()))).sha256
        == plain
    )
    for old, new in (
        ('"1"', '"2"'),
        ("mass-short", "mass-long"),
        ("A mass is", "A mass was"),
        ("  mass:\n", "  lump:\n"),
    ):
        assert read_prompt_set(file(tmp_path, SHORT.replace(old, new))).sha256 != plain


def tasks() -> dict:
    classes = {"no mass": ["No mass is present"], "mass": ["A mass is present", "There is a mass in this breast"]}
    return {"tasks": {"mass": classes}}


def test_the_order_of_classes_and_of_sentences_is_part_of_the_hash():
    one = unnamed_set({"a": ["x", "y"], "b": ["z"]})
    assert one.sha256 != unnamed_set({"b": ["z"], "a": ["x", "y"]}).sha256
    assert one.sha256 != unnamed_set({"a": ["y", "x"], "b": ["z"]}).sha256
    assert one.sha256 == unnamed_set({"a": [" x ", "y"], "b": ["z"]}).sha256


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("format: 1", "format: 2", "format is 2: this program reads format 1"),
        ("format: 1\n", "", "format is None"),
        ('version: "1"', "version: 1", "version is 1, not a text: write it in quotes"),
        ("name: mass-short", "name: ''", "name has 0 characters"),
        ("tasks:", "sets:", "unknown key 'sets'"),
        ('"no mass": [No mass is present]', "", "has 1 classes: 2 to 64 can be told apart"),
        ("[No mass is present]", "No mass is present", "is not a list of 1 to 256 sentences"),
        ("[No mass is present]", "[]", "is not a list of 1 to 256 sentences"),
        ("[No mass is present]", "[no]", "a sentence of class 'no mass' of task 'mass' is False, not a text"),
        ("[No mass is present]", "[a, a]", "holds a sentence twice"),
        ('"no mass"', "no", "has the key False, which is no text"),
        ('"no mass"', '"mass"', "does not read as YAML: .*the key 'mass' is written twice"),
        ("format: 1", "format: [", "does not read as YAML"),
        ("format: 1", "format: !!python/object/apply:os.getcwd []", "does not read as YAML"),
    ],
)
def test_a_file_that_is_no_prompt_set_names_the_rule_it_breaks(tmp_path: Path, old: str, new: str, message: str):
    assert old in SHORT
    path = file(tmp_path, SHORT.replace(old, new, 1))
    with pytest.raises(ValueError, match=f"(?s){path}.*{message}"):
        read_prompt_set(path)


def test_bytes_that_are_no_text_are_no_prompt_set(tmp_path: Path):
    (tmp_path / "set.yaml").write_bytes(b"format: 1\nname: \xff\n")
    with pytest.raises(ValueError, match="does not read as YAML"):
        read_prompt_set(tmp_path / "set.yaml")


def test_a_huge_file_is_not_parsed(tmp_path: Path):
    with pytest.raises(ValueError, match="has over 1 MiB"):
        read_prompt_set(file(tmp_path, "#" * (1 << 20) + SHORT))


def test_a_file_of_references_to_references_does_not_fill_the_memory(tmp_path: Path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(ValueError, match="unknown key 'a0'"):
        read_prompt_set(file(tmp_path, "\n".join(lines)))


@pytest.mark.parametrize(
    "classes",
    [
        {"a": ["x"]},
        {str(number): ["x"] for number in range(MAX_CLASSES + 1)},
        {"a": ["x"], "b": [str(number) for number in range(MAX_SENTENCES + 1)]},
        {"a": ["x"], "b": ["y" * (MAX_SENTENCE_CHARS + 1)]},
        {"a": ["x"], "b": [1]},
        {"a": ["x"], " ": ["y"]},
        ["x", "y"],
        None,
    ],
)
def test_classes_of_a_request_keep_the_same_bounds(classes: object):
    with pytest.raises(ValueError, match="class"):
        unnamed_set(classes)


def test_sets_of_a_folder_are_found_by_name_and_two_of_one_name_are_refused(tmp_path: Path):
    file(tmp_path, SHORT, "b.yaml")
    file(tmp_path, SHORT.replace("mass-short", "other"), "a.yaml")
    assert list(sets_in(tmp_path)) == ["other", "mass-short"]
    file(tmp_path, SHORT.replace('"1"', '"2"'), "c.yaml")
    with pytest.raises(ValueError, match=r"c\.yaml: a prompt set named 'mass-short' was read before"):
        sets_in(tmp_path)


def test_the_packaged_set_holds_the_class_prompts_of_the_papers():
    short = packaged_sets()["glam-short"]
    for task, classes in short.tasks.items():
        assert tuple(text for (text,) in classes.values()) == class_prompts(task)  # pyright: ignore


def test_the_packaged_set_answers_as_the_bundles_own_class_vectors(
    predictor: Predictor, random_bundle: Bundle, mammograms: dict[str, Path]
):
    short: PromptSet = packaged_sets()["glam-short"]
    prediction = predictor.predict(mammograms["L_CC"], mammograms["L_MLO"], prompts=short)
    assert prediction.prompt_set is not None
    for task in ("birads", "density"):
        assert prediction.prompt_set.tasks[task] == pytest.approx(getattr(prediction, task), abs=1e-4)


def test_a_pipe_in_a_folder_of_sets_is_refused_and_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(ValueError, match=r"pipe.yaml is no plain file"):
        sets_in(tmp_path)


@pytest.mark.parametrize("nested", ["[" * 20_000, "{a: " * 20_000])
def test_a_file_that_is_nested_too_deeply_is_named(tmp_path: Path, nested: str):
    (tmp_path / "deep.yaml").write_text(nested)
    with pytest.raises(ValueError, match=r"deep.yaml (is nested too deeply|does not read as YAML)"):
        read_prompt_set(tmp_path / "deep.yaml")
