"""Prompt sets: named, versioned class prompts in a YAML file, the same for server, command line and Python.

A file holds

    format: 1
    name: mass-short
    version: "1"
    tasks:
      mass:
        "no mass": [No mass is present]
        "mass": [A mass is present, There is a mass in this breast]

A class is the mean of its sentences' unit vectors, brought to length 1. What decides is the content: two files that
differ in comments or in layout alone have one hash.
"""

import hashlib
import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FORMAT = 1
MAX_FILE_BYTES = 1 << 20
MAX_TASKS = 16
MAX_CLASSES = 64
MAX_SENTENCES = 256
MAX_SENTENCE_CHARS = 2000
SETS_FOLDER = Path(__file__).with_name("sets")

Tasks = dict[str, dict[str, tuple[str, ...]]]
"""Task -> class -> sentences."""


CLASSES_TASK = "classes"
"""The task of classes that come without a name for it."""


@dataclass(frozen=True, kw_only=True)
class PromptSet:
    """Class prompts under a name and a version; both are empty for classes that a caller sends with a request."""

    name: str = ""
    version: str = ""
    tasks: Tasks

    @property
    def sha256(self) -> str:
        """Hash of the content: format, name, version, and every task, class and sentence in their order."""
        content = [FORMAT, self.name, self.version, _ordered(self.tasks)]
        return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()

    @property
    def sentences(self) -> tuple[str, ...]:
        """Every sentence once, in order."""
        every = (text for classes in self.tasks.values() for texts in classes.values() for text in texts)
        return tuple(dict.fromkeys(every))


def read_prompt_set(path: Path) -> PromptSet:
    """Read a prompt set; ValueError with the place and the rule for a file that is none."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"{path} has over {MAX_FILE_BYTES >> 20} MiB: that is no prompt set")
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} does not read as YAML: {error}") from None
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply: that is no prompt set") from None
    try:
        return prompt_set(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def prompt_set(data: object) -> PromptSet:
    """Return the prompt set of a YAML or JSON value; ValueError with the rule that it breaks."""
    fields = _mapping(data, "a prompt set")
    if unknown := sorted(set(fields) - {"format", "name", "version", "tasks"}):
        raise ValueError(f"unknown key {unknown[0]!r}: a prompt set has format, name, version and tasks")
    if fields.get("format") != FORMAT:
        raise ValueError(f"format is {fields.get('format')!r}: this program reads format {FORMAT}")
    tasks = _mapping(fields.get("tasks"), "tasks")
    if not 0 < len(tasks) <= MAX_TASKS:
        raise ValueError(f"there are {len(tasks)} tasks: a prompt set has 1 to {MAX_TASKS}")
    return PromptSet(
        name=_text(fields.get("name"), "name"),
        version=_text(fields.get("version"), "version"),
        tasks={task: class_sentences(classes, f"task {task!r}") for task, classes in tasks.items()},
    )


def unnamed_set(classes: object) -> PromptSet:
    """Return the set, of one task, of a value {class: [sentences]}; ValueError with the rule that it breaks."""
    return PromptSet(tasks={CLASSES_TASK: class_sentences(classes, CLASSES_TASK)})


def class_sentences(data: object, what: str) -> dict[str, tuple[str, ...]]:
    """Return class -> sentences of a YAML or JSON value; `what` names it in a ValueError."""
    classes = _mapping(data, what)
    if not 2 <= len(classes) <= MAX_CLASSES:
        raise ValueError(f"{what} has {len(classes)} classes: 2 to {MAX_CLASSES} can be told apart")
    return {name: _sentences(texts, f"class {name!r} of {what}") for name, texts in classes.items()}


def packaged_sets() -> dict[str, PromptSet]:
    """Return the prompt sets that come with this package, by name."""
    return sets_in(SETS_FOLDER)


def sets_in(folder: Path) -> dict[str, PromptSet]:
    """Return the prompt sets of a folder (*.yaml), by name; ValueError for two of one name, or no such folder."""
    if not folder.is_dir():
        raise ValueError(f"there is no folder of prompt sets at {folder}")
    found: dict[str, PromptSet] = {}
    for path in sorted(folder.glob("*.yaml")):
        if not path.is_file():  # a pipe would keep the reader waiting
            raise ValueError(f"{path} is no plain file: take it out of the folder of prompt sets")
        entry = read_prompt_set(path)
        if entry.name in found:
            raise ValueError(f"{path}: a prompt set named {entry.name!r} was read before: rename one of them")
        found[entry.name] = entry
    return found


def _sentences(data: object, what: str) -> tuple[str, ...]:
    if not isinstance(data, list) or not 0 < len(data) <= MAX_SENTENCES:
        raise ValueError(f"{what} is not a list of 1 to {MAX_SENTENCES} sentences")
    texts = tuple(_text(text, f"a sentence of {what}") for text in data)
    if len(set(texts)) < len(texts):
        raise ValueError(f"{what} holds a sentence twice")
    return texts


def _mapping(data: object, what: str) -> Mapping[str, Any]:
    if not isinstance(data, dict):
        raise ValueError(f"{what} is not a mapping")
    for key in data:
        if not isinstance(key, str) or not key.strip():
            raise ValueError(f"{what} has the key {key!r}, which is no text: write it in quotes")
    return data


def _text(data: object, what: str) -> str:
    if not isinstance(data, str):
        raise ValueError(f"{what} is {data!r}, not a text: write it in quotes")
    text = data.strip()
    if not 0 < len(text) <= MAX_SENTENCE_CHARS:
        raise ValueError(f"{what} has {len(text)} characters: 1 to {MAX_SENTENCE_CHARS} are taken")
    return text


def _ordered(tasks: Tasks) -> list[Any]:
    return [[task, [[name, list(texts)] for name, texts in classes.items()]] for task, classes in tasks.items()]


class _Loader(yaml.SafeLoader):
    """YAML that refuses a key written twice, of which the plain loader silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is written twice", node.start_mark
                )
        return super().construct_mapping(node, deep)
