"""`glam-embed run` by every runtime: the same rows, and the store says by what they were made."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from glam.bundle import Bundle
from glam.store.read import read_rows, vectors
from glam.store.run_key import read_run
from glam.store.schema import StoreError
from glam.store.verify import verify_store
from tests.samples.triton_server import TritonServer

Embed = Callable[..., int]


def assert_rows_of(store: Path, whole: Path, *, provider: str) -> None:
    """A store holds the rows that ONNX Runtime made, within 1e-5, and names what made it."""
    assert verify_store(store).problems == ()
    config = read_run(store).config
    assert (config.provider, config.variant) == (provider, "portable")
    rows, expected = read_rows(store), read_rows(whole)
    np.testing.assert_allclose(vectors(rows), vectors(expected), rtol=0, atol=1e-5)
    for name in expected.column_names:
        got, there = rows.column(name).to_pylist(), expected.column(name).to_pylist()
        if name.startswith(("birads_", "density_")):
            np.testing.assert_allclose(got, there, rtol=0, atol=1e-5)
        elif name != "embedding":
            assert got == there, name


def test_torch_makes_the_rows_of_onnx_runtime_and_does_not_mix_with_them(
    phantoms: Path, whole: Path, random_checkpoint: Path, embed: Embed, tmp_path: Path
):
    torch = {"runtime": "torch", "checkpoint": random_checkpoint}
    assert embed(phantoms / "manifest.csv", tmp_path / "s", **torch) == 0
    assert_rows_of(tmp_path / "s", whole, provider="torch")
    with pytest.raises(StoreError, match="provider") as caught:
        embed(phantoms / "manifest.csv", tmp_path / "s")
    assert caught.value.code == "other_run"


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_triton_makes_the_rows_of_onnx_runtime(
    triton: TritonServer, phantoms: Path, whole: Path, embed: Embed, tmp_path: Path, protocol: str
):
    url = getattr(triton, f"{protocol}_url")
    assert embed(phantoms / "manifest.csv", tmp_path / "s", runtime="triton", triton_url=url) == 0
    assert_rows_of(tmp_path / "s", whole, provider="triton")


def test_a_bundle_that_stays_here_goes_to_no_triton_elsewhere(
    phantoms: Path, kept_bundle: Bundle, embed: Embed, tmp_path: Path
):
    pytest.importorskip("tritonclient", reason="no Triton server here: make triton-env")
    elsewhere = {"runtime": "triton", "triton_url": "grpc://triton:8001", "bundle": kept_bundle.folder}
    with pytest.raises(ValueError, match="keeps it on this machine"):
        embed(phantoms / "manifest.csv", tmp_path / "s", **elsewhere)
    assert not list((tmp_path / "s").glob("*.parquet"))
