"""What a caller asks in words: sentences, a prompt set by its name, or classes of sentences; and their vectors."""

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from glam.files import JsonDict, json_object
from glam.findings import InputError, input_error
from glam.words.prompt_sets import MAX_CLASSES, MAX_SENTENCE_CHARS, MAX_SENTENCES, PromptSet, unnamed_set
from glam.words.sentences import MAX_PROMPTS, check_prompts

MAX_VECTORS = 8192
"""Sentences whose vectors an API process keeps."""
MAX_SET_SENTENCES = 2048
"""Sentences of one set that a request may ask for."""
BATCH = MAX_PROMPTS
"""Sentences that a worker embeds at a time, so that images of others come in between."""
CLASSES_RULE = (
    f'"classes" is not of the form {{class: [sentences]}} with 2 to {MAX_CLASSES} classes, 1 to {MAX_SENTENCES}'
    f" sentences each, of at most {MAX_SENTENCE_CHARS} characters and none twice"
)
"""The message of whatever is wrong with classes: it repeats nothing that the caller sent."""
OBJECT_RULE = 'a prompt that begins with { is JSON: {"set": NAME} or {"classes": {CLASS: [SENTENCE, ...], ...}}'


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """What is asked in words."""

    sentences: tuple[str, ...] = ()
    prompt_set: PromptSet | None = None

    @property
    def every_sentence(self) -> tuple[str, ...]:
        """Of both kinds."""
        return (*self.sentences, *(self.prompt_set.sentences if self.prompt_set else ()))


def prompts_of_form(texts: Sequence[str], sets: Mapping[str, PromptSet]) -> Prompts:
    """Return what the `prompts` fields of a form ask: sentences, or one JSON object; InputError otherwise."""
    if not any(text.lstrip().startswith("{") for text in texts):
        return Prompts(sentences=check_prompts(texts))
    if len(texts) > 1:
        raise _bad("a prompt set cannot be mixed with other prompts: send it alone")
    try:
        value = plain_object(texts[0])
    except ValueError:
        raise _bad(OBJECT_RULE) from None
    return prompts_of_object(value, sets)


def plain_object(text: str | bytes) -> JsonDict:
    """Return a JSON object whose texts are Unicode; ValueError for anything else, half of a surrogate pair too."""
    value = json_object(text)
    json.dumps(value, ensure_ascii=False).encode()
    return value


def prompts_of_object(value: Mapping[str, object], sets: Mapping[str, PromptSet]) -> Prompts:
    """Return what {"set": NAME} or {"classes": {class: [sentences]}} asks; InputError for anything else."""
    if set(value) == {"set"}:
        name = value["set"]
        if not isinstance(name, str) or name not in sets:
            known = ", ".join(sets) or "none"
            raise _bad(f"no prompt set here has that name: ask for one that there is ({known}), or send classes")
        return _bounded(sets[name])
    if set(value) != {"classes"}:
        raise _bad(OBJECT_RULE)
    try:
        asked = unnamed_set(value["classes"])
    except ValueError:
        raise _bad(CLASSES_RULE) from None
    return _bounded(asked)


def _bounded(asked: PromptSet) -> Prompts:
    if len(asked.sentences) > MAX_SET_SENTENCES:
        raise _bad(f"the classes have over {MAX_SET_SENTENCES} sentences: ask in several requests")
    return Prompts(prompt_set=asked)


def _bad(what: str) -> InputError:
    return input_error("bad_prompt", "prompts", problem=what)


class SentenceVectors:
    """The vectors of the sentences that were asked last; safe to call from several threads."""

    def __init__(self, max_vectors: int = MAX_VECTORS) -> None:
        self._max_vectors = max_vectors
        self._vectors: OrderedDict[str, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def known(self, sentences: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the vectors that are kept, by sentence."""
        with self._lock:
            found = {text: self._vectors[text] for text in sentences if text in self._vectors}
            for text in found:
                self._vectors.move_to_end(text)
            return found

    def keep(self, vectors: Mapping[str, np.ndarray]) -> None:
        """Keep vectors; those that were asked longest ago go where there is no room."""
        with self._lock:
            self._vectors.update(vectors)
            while len(self._vectors) > self._max_vectors:
                self._vectors.popitem(last=False)

    def __len__(self) -> int:
        return len(self._vectors)
