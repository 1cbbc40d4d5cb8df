import numpy as np
import pytest

from bench.gpu_onnx import VARIANTS, batch_figures, goals_of, grown_mb, measured, missing, small_text
from glam.config import tiny
from glam.providers import CPU, CUDA


def test_every_engine_is_held_against_the_numbers_of_a_cpu(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.gpu_onnx.BATCHES", (1, 2, 4))
    options, engines = measured(tmp_path, small_text(tiny()), CPU, rounds=1)
    assert [entry["worst_cosine"] for entry in options.values()] == pytest.approx([1] * len(options))
    assert list(engines) == ["torch", *(name for name in VARIANTS if name != "bf16")]  # which no CPU multiplies
    assert set(engines["fp16"]["image_ms"]) == {"1", "2", "4"}
    goals = goals_of(engines)
    assert len(goals) == 4 * len(engines)
    assert all(entry.holds for entry in goals.values()), goals
    engines["fused"]["patches_max_abs"] = 0.01
    assert not goals_of(engines)["fused_patches"].holds


def test_the_first_call_of_a_batch_size_is_told_apart(monkeypatch):
    monkeypatch.setattr("bench.gpu_onnx.BATCHES", (1, 2))
    seen = []
    figures = batch_figures(lambda images: seen.append(len(images)), np.zeros((2, 1, 4, 4)), rounds=2)
    assert seen == [1, 1, 1, 2, 2, 2]
    assert set(figures["first_call_ms"]) == set(figures["image_ms"]) == {"1", "2"}


def test_without_a_gpu_nothing_is_measured_and_it_says_why():
    import onnxruntime

    if CUDA in onnxruntime.get_available_providers():
        pytest.skip("a GPU is here")
    assert 'pip install "onnxruntime-gpu[cuda,cudnn]"' in (missing(CUDA) or "")
    assert missing(CPU) is None


def test_memory_that_nobody_tells_is_none():
    assert grown_mb(None) is None
