"""`glam-embed search`: the rows of a store that are most like a mammogram, another row, or a sentence."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from glam.predict_command import UsageError, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glam.predict import Predictor
    from glam.store.search import Hit, StoreVectors
    from glam_serve.cohort.questions import Question


@dataclass(frozen=True, kw_only=True)
class Search:
    """Print the rows of a store that are most like what is asked for, best first: JSON on stdout."""

    store: Path
    """Folder that `glam-embed run` made."""
    like: tuple[Path, ...] = ()
    """Mammograms that make one row of the store's level: an image, the views of a breast, or an exam."""
    row: str | None = None
    """Row of the store in their place, EXAM, EXAM/L or EXAM/L/IMAGE by its level."""
    text: str | None = None
    """A sentence in their place, such as "spiculated mass in a dense breast"."""
    k: Annotated[int, tyro.conf.arg(aliases=["-k"])] = 10
    """How many rows at the most."""
    same_patient: bool = False
    """Rows of the same patient too: without it they are left out."""
    exact: bool = False
    """Compare every row, although the store has an index (`glam-embed index`)."""
    bundle: Path | None = None
    """The bundle that made the store, for --like and --text. None: the demo bundle."""

    def run(self) -> int:
        """Print the hits."""
        if sum((bool(self.like), self.row is not None, self.text is not None)) != 1:
            raise UsageError("give one of --like FILE ..., --row KEY and --text SENTENCE")
        if self.k < 1:
            raise UsageError(f"-k {self.k} is not above 0")
        from glam.store.index import searchable

        vectors, not_used = searchable(self.store, exact=self.exact)
        if not_used:
            sys.stderr.write(f"glam-embed: {not_used}\n")
        question = self._question(vectors)
        if self.like and not question.patients:
            sys.stderr.write("glam-embed: the store has no row of these files' patient, so none is left out\n")
        without = frozenset[str]() if self.same_patient else question.patients
        hits = vectors.nearest(question.vector, self.k, without_patients=without)
        print_json(
            {
                "rows": len(vectors),
                "rows_of_the_same_patient": int(vectors.rows_of(question.patients).sum()) if question.patients else 0,
                "same_patient": self.same_patient,
                "exact": vectors.is_exact,
                "hits": _with_paths(vectors, hits),
                "notice": vectors.run.facts.notice,
            }
        )
        return 0

    def _question(self, vectors: "StoreVectors") -> "Question":
        from glam_serve.cohort.questions import like_files, like_row, like_text

        if self.row is not None:
            return like_row(vectors, self.row)
        predictor = self._predictor(vectors)
        return like_files(vectors, predictor, self.like) if self.text is None else like_text(predictor, self.text)

    def _predictor(self, vectors: "StoreVectors") -> "Predictor":
        from glam.bundle import DEMO_BUNDLE, read_bundle
        from glam.loading import open_runtime, with_variant
        from glam.predict import Predictor
        from glam.runtime import CPU

        config = vectors.run.config
        bundle = read_bundle(self.bundle or DEMO_BUNDLE)
        vectors.check_made_by(bundle.sha256, joint_dim=bundle.model.joint_dim)
        provider = CPU if config.provider in ("torch", "triton") else config.provider  # a question is answered here
        bundle = with_variant(bundle, config.variant, provider=provider)
        return Predictor(bundle, open_runtime(bundle, provider=provider), withholds=True)


def _with_paths(vectors: "StoreVectors", hits: "Sequence[Hit]") -> list[dict[str, Any]]:
    """Return hits as JSON types, each image with its path."""
    told = vectors.described(hits)
    paths = vectors.paths([image for hit in told for image in hit["images"]])
    return [
        hit | {"images": [{"image_id": image, "path": paths.get(image, "")} for image in hit["images"]]} for hit in told
    ]
