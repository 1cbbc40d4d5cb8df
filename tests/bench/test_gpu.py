from bench.gpu import goals_of, images, measure, speedups


def test_speeds_are_told_against_one_image_in_fp32() -> None:
    figures = {"fp32": {"ms_an_image": {"1": 8.0, "8": 4.0}}, "bf16": {"ms_an_image": {"1": 8.0, "8": 1.0}}}
    assert speedups(figures) == {"fp32": {"1": 1.0, "8": 2.0}, "bf16": {"1": 1.0, "8": 8.0}}


def test_a_precision_that_loses_the_direction_of_a_vector_misses_its_goal() -> None:
    goals = goals_of({name: {"worst_cosine": 0.9995} for name in ("fp32", "tf32", "bf16", "fp16")})
    assert {name: entry.holds for name, entry in goals.items()} == {
        "fp32_cosine": False,
        "tf32_cosine": False,
        "bf16_cosine": True,
        "fp16_cosine": True,
    }


def test_no_two_images_are_alike() -> None:
    views = images(3, 28)
    assert views.shape == (3, 1, 28, 28)
    assert 0 <= views.min() < views.max() <= 1
    assert not (views[0] == views[1]).all()


def test_measuring_needs_a_gpu() -> None:
    import pytest
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    from glam.config import tiny

    assert set(measure(tiny(), rounds=1)) == {"fp32", "tf32", "bf16", "fp16"}
