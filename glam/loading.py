"""Opening a bundle: its engine, and the Predictor that answers with it."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from glam.bundle import DEMO_BUNDLE, PORTABLE, Bundle, BundleError, read_bundle
from glam.files import file_sha256
from glam.predict import Predictor
from glam.providers import CUDA
from glam.runtime import CPU, OnnxRuntime, Runtime
from glam.triton.runtime import TritonRuntime

RuntimeKind = Literal["onnx", "torch", "triton"]


def load(
    folder: Path | str | None = None, *, threads: int | None = None, provider: str = CPU, variant: str | None = None
) -> Predictor:
    """Verify a bundle and return its Predictor in ONNX Runtime. None: the demo bundle that comes with the package.

    `threads`: of one call of the model; None: all cores. `variant`: as of `with_variant`; answers say which it was.
    A BundleError says what a folder that is no bundle lacks.
    """
    bundle = with_variant(read_bundle(DEMO_BUNDLE if folder is None else folder), variant, provider=provider)
    return Predictor(bundle, open_runtime(bundle, threads=threads, provider=provider))


def with_variant(bundle: Bundle, variant: str | None, *, provider: str = CPU) -> Bundle:
    """Return a bundle that answers by other graphs of its model: "int8", "fp16", ..., or "portable", its own.

    None: on a CPU and on CUDA the fused ones where the bundle holds them, which give the same numbers sooner and, on
    CUDA, in less memory (`bench.gpu_onnx`); else its own.
    BundleError `bundle_variant` for one that the bundle does not hold, or that the provider cannot run.
    """
    if variant is None:
        variant = "fused" if "fused" in bundle.variants and provider in (CPU, CUDA) else PORTABLE
    if variant not in {PORTABLE, *bundle.variants}:
        there = ", ".join([PORTABLE, *bundle.variants])
        way_out = f"glam-export quantise {bundle.folder} --variant {variant}"
        raise BundleError("bundle_variant", f"{bundle.folder} has no variant {variant}, only {there}: {way_out}")
    if variant == "bf16" and provider == CPU:
        way_out = "choose another variant, or a provider of a GPU"
        raise BundleError("bundle_variant", f"{CPU} multiplies no bfloat16 matrices: {way_out}")
    return replace(bundle, variant=variant)


def open_runtime(
    bundle: Bundle,
    kind: RuntimeKind = "onnx",
    *,
    threads: int | None = None,
    provider: str = CPU,
    checkpoint: Path | None = None,
    url: str | None = None,
) -> Runtime:
    """Open the engine of a kind, with the bundle's chosen variant.

    `threads`: of one call of the model, with torch for the whole process; None: all cores. torch runs the `checkpoint`
    that the bundle was exported from; triton is the Triton server at `url`, which holds the portable graphs and is
    first asked when the runtime is used.
    """
    if kind == "onnx":
        variant = None if bundle.variant == PORTABLE else bundle.variant
        hashes = bundle.file_hashes
        return OnnxRuntime(bundle.folder, threads=threads, provider=provider, file_hashes=hashes, variant=variant)
    if kind == "triton":
        if url is None:
            raise ValueError(
                "the triton runtime needs the url of a Triton server: grpc://HOST:8001 or http://HOST:8000"
            )
        if bundle.variant != PORTABLE:
            raise ValueError(f"Triton holds the portable graphs, not {bundle.variant}: leave the variant out")
        return TritonRuntime(bundle, url)
    if checkpoint is None:
        raise ValueError("the torch runtime needs the checkpoint that the bundle was exported from")
    _check_checkpoint(bundle, checkpoint)
    from glam.model.torch_runtime import TorchRuntime, use_threads

    if threads is not None:
        use_threads(threads)
    return TorchRuntime(checkpoint)


def _check_checkpoint(bundle: Bundle, checkpoint: Path) -> None:
    """Refuse weights that the bundle was not made from; one that wrote no hash down is believed."""
    weights = checkpoint / "weights.safetensors"
    if bundle.weights_sha256 and weights.is_file() and file_sha256(weights) != bundle.weights_sha256:
        raise ValueError(
            f"{bundle.folder} was not exported from {checkpoint}: give its own checkpoint, or export this one"
        )
