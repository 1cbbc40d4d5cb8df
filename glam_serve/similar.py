"""`POST /v1/similar`: rows of the server's store that are like an earlier answer, or like vectors that are sent."""

from typing import TYPE_CHECKING

import anyio
import numpy as np
from fastapi import Request, Response

from glam.findings import input_error
from glam.prediction import NOTICE, Json
from glam.view import Side
from glam.zeroshot import breast_embedding, unit
from glam_serve.account import timed
from glam_serve.answers import KeptVectors
from glam_serve.errors import Refusal
from glam_serve.replies import json_reply
from glam_serve.vector_routes import VectorAnswers, read_json
from glam_serve.vector_schema import MAX_HITS, SimilarRequest

if TYPE_CHECKING:
    from glam.store.schema import Level
    from glam.store.search import StoreVectors

Query = tuple[Side | None, np.ndarray]
"""Side of the breast, None: of both, or not known; and a vector (joint,)."""


class SimilarCases:
    """Answers that are rows of the server's store."""

    def __init__(self, vectors: VectorAnswers) -> None:
        self._vectors = vectors
        self._answers = vectors.answers

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

        def answer() -> list[Json]:
            found = store.nearest_each([vector for _, vector in queries], asked.k, without_patients=without)
            return [
                {"laterality": side, "hits": [_cells(hit) for hit in store.described(hits)]}
                for (side, _), hits in zip(queries, found, strict=True)
            ]

        with timed("answer"):
            entries = await anyio.to_thread.run_sync(answer)
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

    async def _queries(
        self, request: Request, asked: SimilarRequest, level: "Level"
    ) -> tuple[list[Query], frozenset[str]]:
        """Return the vectors to look for, and the patients they are of as far as the store knows them."""
        if asked.result_id is not None:
            kept = await self._answers.kept(asked.result_id)
            return _queries_of(kept, level), kept.patients
        if self._answers.withheld(request) is not None:
            raise Refusal("embedding_stays")  # likeness to chosen vectors would read the store's out
        return [(None, vector) for vector in self._vectors.unit_vectors(asked.embeddings or [])], frozenset()


def store_json(store: "StoreVectors") -> Json:
    """Return what is told of a store."""
    return {"level": store.run.config.level, "rows": len(store)}


def _queries_of(kept: KeptVectors, level: "Level") -> list[Query]:
    breasts: list[Query] = [(side, breast_embedding(views)) for side, views in kept.breasts.items()]
    if level == "exam":
        return [(None, unit(np.mean([vector for _, vector in breasts], axis=0)))]
    if level == "breast":
        return breasts
    return [(side, vector) for side, views in kept.breasts.items() for vector in views]


def _cells(hit: Json) -> Json:
    """Return a hit as it is published: every field there; the ids of images may be paths, and stay here."""
    published = {name: hit.get(name) for name in ("exam_id", "laterality", "image_id", "patient_id", "likeness")}
    return published | {"birads": hit["birads"], "density": hit["density"], "codes": hit["codes"]}
