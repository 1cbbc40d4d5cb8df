"""`POST /v1/similar`: rows of the server's store that are like an earlier answer, or like vectors that are sent."""

import logging
from collections.abc import Sequence
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple

import anyio
import numpy as np
from fastapi import Request, Response

from glam.findings import input_error
from glam.prediction import NOTICE, Json
from glam.view import Side, ViewName
from glam.zeroshot import breast_embedding, unit
from glam_serve.account import timed
from glam_serve.answers import KeptVectors
from glam_serve.errors import Refusal
from glam_serve.replies import json_reply
from glam_serve.vector_routes import VectorAnswers, read_json
from glam_serve.vector_schema import MAX_HITS, SimilarRequest

if TYPE_CHECKING:
    from glam.store.schema import Level
    from glam.store.search import Hit, StoreVectors

log = logging.getLogger(__name__)

SEARCHES_AT_A_TIME = 1
"""Of an API process: each reads the vectors of the whole store, and images wait for the same cores."""
VECTORS_A_TURN = 8
"""Of a request: then others have theirs, and a search whose caller left ends."""


class Query(NamedTuple):
    """A vector (joint,) to look for; what it is of, None: of more than one, or not known."""

    vector: np.ndarray
    laterality: Side | None = None
    view: ViewName | None = None


class SimilarCases:
    """Answers that are rows of the server's store."""

    def __init__(self, vectors: VectorAnswers) -> None:
        self._vectors = vectors
        self._answers = vectors.answers
        self._searches = anyio.CapacityLimiter(SEARCHES_AT_A_TIME)

    async def similar(self, request: Request) -> Response:
        """Answer with the most alike rows for each breast, image or exam of an earlier answer, or each vector."""
        store = self._answers.store
        if store is None:
            raise Refusal("no_store")
        asked = await read_json(request, SimilarRequest)
        if (asked.result_id is None) == (asked.embeddings is None):
            raise input_error("bad_field", "", problem="send either result_id or embeddings")
        if not 1 <= asked.k <= MAX_HITS:
            raise input_error("bad_field", "k", problem=f"k is 1 to {MAX_HITS}")
        queries, patients = await self._queries(request, asked, store.run.config.level)
        without = frozenset[str]() if asked.same_patient else patients
        with timed("answer"):
            found = await self._nearest(store, [query.vector for query in queries], asked.k, without)
            cases = iter(await self._described(store, list(chain.from_iterable(found))))
            entries = [
                {"laterality": query.laterality, "view": query.view, "hits": list(islice(cases, len(hits)))}
                for query, hits in zip(queries, found, strict=True)
            ]
        return await json_reply(
            {
                "answers": entries,
                "patient_known": bool(patients),
                "exact": store.is_exact,
                "store": store_json(store),
                "bundle": self._vectors.bundle.sha256,
                "notice": NOTICE,
            }
        )

    async def _nearest(
        self, store: "StoreVectors", vectors: Sequence[np.ndarray], k: int, without: frozenset[str]
    ) -> list[list["Hit"]]:
        """Return the hits of each vector: a few at a turn, so that a request of many lets others in between."""
        search = partial(store.nearest_each, count=k, without_patients=without)
        found = list[list["Hit"]]()
        for start in range(0, len(vectors), VECTORS_A_TURN):
            turn = vectors[start : start + VECTORS_A_TURN]
            found += await anyio.to_thread.run_sync(search, turn, limiter=self._searches)
        return found

    async def _described(self, store: "StoreVectors", hits: list["Hit"]) -> list[Json]:
        """Return hits as they are published; a Refusal where what the store has of them cannot be read any more."""
        from glam.store.schema import StoreError  # its packages are those of a server with a store

        def describe() -> list[Json]:
            return [_published(hit, store) for hit in store.described(hits)]

        try:
            return await anyio.to_thread.run_sync(describe, limiter=self._searches)
        except StoreError as error:
            log.error("%s: %s", error.code, error)
            raise Refusal("store_unreadable") from None

    async def _queries(
        self, request: Request, asked: SimilarRequest, level: "Level"
    ) -> tuple[list[Query], frozenset[str]]:
        """Return the vectors to look for, and the patients they are of as far as the store knows them."""
        if asked.result_id is not None:
            kept = await self._answers.kept(asked.result_id)
            return _queries_of(kept, level), kept.patients
        if self._answers.withheld(request) is not None:
            raise Refusal("embedding_stays")  # likeness to chosen vectors would read the store's out
        return [Query(vector) for vector in self._vectors.unit_vectors(asked.embeddings or [])], frozenset()


def store_json(store: "StoreVectors") -> Json:
    """Return what is told of a store."""
    return {"level": store.run.config.level, "rows": len(store)}


def _queries_of(kept: KeptVectors, level: "Level") -> list[Query]:
    breasts = [Query(breast_embedding(vectors), side) for side, vectors in kept.breasts.items()]
    if level == "exam":
        return [Query(unit(np.mean([breast.vector for breast in breasts], axis=0)))]
    if level == "breast":
        return breasts
    return [
        Query(vector, side, view)
        for side, vectors in kept.breasts.items()
        for view, vector in zip(kept.views[side], vectors, strict=True)
    ]


def _published(hit: Json, store: "StoreVectors") -> Json:
    """Return a hit as it is published, every field there. An image's id that is a path stays here."""
    names = ("exam_id", "laterality", "image_id", "view", "patient_id", "likeness")
    published = {name: hit.get(name) for name in names}
    if store.ids_are_paths:
        published["image_id"] = None
    return published | {"birads": hit["birads"], "density": hit["density"], "codes": hit["codes"]}
