"""Answers kept by the content of their requests: the same files, asked the same, are not computed twice."""

import dataclasses
import hashlib
import pickle
import threading
from collections import OrderedDict
from typing import Generic, TypeVar

import anyio.to_thread
from starlette.datastructures import UploadFile

from glam_serve.account import current_account
from glam_serve.uploads import FormFields

Answer = TypeVar("Answer")
CHUNK_BYTES = 1 << 20
CHOSEN_LATER = frozenset({"include"})
"""Fields that choose among the parts of an answer, after the cache."""


class ResultCache(Generic[Answer]):
    """The latest answers of one API process, up to a number of bytes; none with `max_bytes` of 0.

    What is kept is the whole answer: which parts of it a request may have, and wants, is decided for each request.
    """

    def __init__(self, bundle: str, *, max_bytes: int) -> None:
        self._bundle = bundle
        self._max_bytes = max_bytes
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._num_bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    async def key(self, fields: FormFields) -> str:
        """Return the hash of the bundle, and of all fields of a form but those CHOSEN_LATER; "" where nothing is kept.

        A file counts by its bytes, and by the field it was sent in; its name does not count.
        """
        return await anyio.to_thread.run_sync(self._key, fields) if self._max_bytes else ""

    def find(self, key: str) -> Answer | None:
        """Return the answer of an earlier request; None: there is none."""
        if not key:
            return None
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
        current_account().cache = "miss" if kept is None else "hit"
        return None if kept is None else pickle.loads(kept)

    def keep(self, key: str, answer: Answer) -> None:
        """Keep an answer, and let go of those that were not asked for the longest."""
        if not key:
            return
        pickled = pickle.dumps(answer)
        if len(pickled) > self._max_bytes:
            return
        with self._lock:
            self._num_bytes += len(pickled) - len(self._kept.pop(key, b""))
            self._kept[key] = pickled
            while self._num_bytes > self._max_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._num_bytes -= len(oldest)

    def _key(self, fields: FormFields) -> str:
        parts = [self._bundle]
        for field in dataclasses.fields(fields):
            if field.name not in CHOSEN_LATER:
                parts.append(f"{field.name}={_content(getattr(fields, field.name))}")
        return hashlib.sha256(repr(parts).encode()).hexdigest()


def _content(value: object) -> str:
    """Return the text that stands for a field's value: a hash for a file."""
    if isinstance(value, tuple):
        return repr([_content(item) for item in value])
    if not isinstance(value, UploadFile):
        return repr(value)
    digest = hashlib.sha256()
    value.file.seek(0)
    while chunk := value.file.read(CHUNK_BYTES):
        digest.update(chunk)
    value.file.seek(0)
    return digest.hexdigest()
