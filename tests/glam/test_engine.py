import numpy as np
import pytest

from glam.engine import MAX_BATCH, batches, run_breasts, run_images
from glam.predict import Predictor
from glam.runtime import VisionOut

SIZE = 126


def squares(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, SIZE, SIZE)).astype(np.float32)


class Counting:
    """A runtime that keeps the sizes of its batches."""

    compares_views = True

    def __init__(self, runtime) -> None:
        self.runtime = runtime
        self.sizes: list[tuple[str, int]] = []

    def vision(self, images: np.ndarray) -> VisionOut:
        self.sizes.append(("vision", len(images)))
        return self.runtime.vision(images)

    def align(self, patches_cc: np.ndarray, patches_mlo: np.ndarray):
        self.sizes.append(("align", len(patches_cc)))
        return self.runtime.align(patches_cc, patches_mlo)


class Towers:
    """A runtime of a model that does not compare its views."""

    compares_views = False

    def __init__(self, runtime) -> None:
        self.vision = runtime.vision


@pytest.mark.parametrize("count", range(30))
def test_batches_cover_every_image_once_and_have_four_sizes(count: int):
    spans = batches(count)
    assert [place for start, end in spans for place in range(start, end)] == list(range(count))
    assert {end - start for start, end in spans} <= {1, 2, 4, MAX_BATCH}


def test_images_run_together_and_pairs_are_aligned_after(predictor: Predictor):
    runtime, images = Counting(predictor.runtime), squares(5)
    breasts = [{"cc": images[0], "mlo": images[1]}, {"mlo": images[2]}, {"cc": images[3], "mlo": images[4]}]
    out = run_breasts(runtime, breasts)
    assert runtime.sizes == [("vision", 4), ("vision", 1), ("align", 2)]
    assert [list(vectors.embeddings) for vectors in out] == [["cc", "mlo"], ["mlo"], ["cc", "mlo"]]
    assert [vectors.attention is None for vectors in out] == [False, True, False]


def test_a_breast_is_answered_among_others_as_alone(predictor: Predictor):
    images = squares(9, seed=1)
    breasts = [{"cc": images[2 * n], "mlo": images[2 * n + 1]} for n in range(4)] + [{"cc": images[8]}]
    together = run_breasts(predictor.runtime, breasts)
    for breast, vectors in zip(breasts, together, strict=True):
        (alone,) = run_breasts(predictor.runtime, [breast])
        for key in breast:
            np.testing.assert_allclose(vectors.embeddings[key], alone.embeddings[key], atol=1e-5)
        if alone.attention is not None:
            assert vectors.attention is not None
            for name, weights in vars(alone.attention).items():
                np.testing.assert_allclose(vars(vectors.attention)[name], weights, atol=1e-5)


def test_pairs_of_a_model_that_does_not_compare_views_have_embeddings_alone(predictor: Predictor):
    cc, mlo = squares(2, seed=4)
    (out,) = run_breasts(Towers(predictor.runtime), [{"cc": cc, "mlo": mlo}])
    (compared,) = run_breasts(predictor.runtime, [{"cc": cc, "mlo": mlo}])
    assert out.attention is None
    assert list(out.embeddings) == ["cc", "mlo"]
    for key, embedding in compared.embeddings.items():
        np.testing.assert_array_equal(out.embeddings[key], embedding)


def test_the_order_of_the_keys_of_a_breast_does_not_matter(predictor: Predictor):
    cc, mlo = squares(2, seed=2)
    (one,), (other,) = (
        run_breasts(predictor.runtime, [breast]) for breast in ({"cc": cc, "mlo": mlo}, {"mlo": mlo, "cc": cc})
    )
    np.testing.assert_array_equal(one.embeddings["cc"], other.embeddings["cc"])
    np.testing.assert_array_equal(one.attention.cc_to_mlo, other.attention.cc_to_mlo)


def test_no_breast_needs_no_model(predictor: Predictor):
    runtime = Counting(predictor.runtime)
    assert run_breasts(runtime, []) == []
    assert runtime.sizes == []


def test_images_keep_their_order_over_several_batches(predictor: Predictor):
    images = squares(11, seed=3)
    out = run_images(predictor.runtime, images)
    assert out.embedding.shape == (11, 16)
    for index in (0, 8, 10):
        np.testing.assert_allclose(
            out.embedding[index], predictor.runtime.vision(images[index][None, None]).embedding[0], atol=1e-5
        )
