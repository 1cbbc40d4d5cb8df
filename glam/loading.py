"""Opening a bundle: its engine, and the Predictor that answers with it."""

from pathlib import Path
from typing import Literal

from glam.bundle import DEMO_BUNDLE, Bundle, read_bundle
from glam.files import file_sha256
from glam.predict import Predictor
from glam.runtime import OnnxRuntime, Runtime
from glam.triton.runtime import TritonRuntime

RuntimeKind = Literal["onnx", "torch", "triton"]


def load(
    folder: Path | str | None = None, *, threads: int | None = None, provider: str = "CPUExecutionProvider"
) -> Predictor:
    """Verify a bundle and return its Predictor in ONNX Runtime. None: the demo bundle that comes with the package.

    `threads`: of one call of the model; None: all cores. A BundleError says what a folder that is no bundle lacks.
    """
    bundle = read_bundle(DEMO_BUNDLE if folder is None else folder)
    return Predictor(bundle, open_runtime(bundle, threads=threads, provider=provider))


def open_runtime(
    bundle: Bundle,
    kind: RuntimeKind = "onnx",
    *,
    threads: int | None = None,
    provider: str = "CPUExecutionProvider",
    checkpoint: Path | None = None,
    url: str | None = None,
) -> Runtime:
    """Open the engine of a kind.

    torch runs the `checkpoint` that the bundle was exported from; triton is the Triton server at `url`, which is first
    asked when the runtime is used.
    """
    if kind == "onnx":
        return OnnxRuntime(bundle.folder, threads=threads, provider=provider, file_hashes=bundle.file_hashes)
    if kind == "triton":
        if url is None:
            raise ValueError(
                "the triton runtime needs the url of a Triton server: grpc://HOST:8001 or http://HOST:8000"
            )
        return TritonRuntime(bundle, url)
    if checkpoint is None:
        raise ValueError("the torch runtime needs the checkpoint that the bundle was exported from")
    _check_checkpoint(bundle, checkpoint)
    from glam.model.torch_runtime import TorchRuntime

    return TorchRuntime(checkpoint)


def _check_checkpoint(bundle: Bundle, checkpoint: Path) -> None:
    """Refuse weights that the bundle was not made from; one that wrote no hash down is believed."""
    weights = checkpoint / "weights.safetensors"
    if bundle.weights_sha256 and weights.is_file() and file_sha256(weights) != bundle.weights_sha256:
        raise ValueError(
            f"{bundle.folder} was not exported from {checkpoint}: give its own checkpoint, or export this one"
        )
