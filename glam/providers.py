"""ONNX Runtime's execution providers: what each is told, and what to do where one is missing."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
Provider = str | tuple[str, dict[str, str]]
CUDA_OPTIONS = {
    "use_tf32": "0",
    "cudnn_conv_algo_search": "HEURISTIC",
    "arena_extend_strategy": "kSameAsRequested",
}
"""float32 products in float32, not in TF32's 10 bits of mantissa, as a bundle promises parity; and no trial of every
convolution's algorithms at every new size of a batch, and no doubling of the memory at every lack of it.
`bench.gpu_onnx` shows what each costs."""


class Profile(NamedTuple):
    """The shapes that a TensorRT engine is built for: input -> its extents, at least, most often, at most."""

    least: dict[str, tuple[int, ...]]
    usual: dict[str, tuple[int, ...]]
    most: dict[str, tuple[int, ...]]


def shape_profile(
    inputs: Mapping[str, Sequence[object]], *, batch: tuple[int, int, int], tokens: tuple[int, int, int]
) -> Profile:
    """Return the profile of a graph from its inputs' shapes: the least, the usual and the greatest extents.

    A first axis without a size is the batch, a later one the tokens.
    """

    def shapes(which: int) -> dict[str, tuple[int, ...]]:
        free = [batch[which], *(tokens[which] for _ in range(8))]
        return {
            name: tuple(size if isinstance(size, int) else free[axis] for axis, size in enumerate(shape))
            for name, shape in inputs.items()
        }

    return Profile(*map(shapes, range(3)))


def shapes_text(shapes: Mapping[str, Sequence[int]]) -> str:
    """Return shapes as TensorRT's programs read them: `image:1x1x518x518,mask:1x8`."""
    return ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in shapes.items())


def providers(provider: str, *, profile: Profile | None = None, cache: str | None = None) -> list[Provider]:
    """Return what a session is opened with; TensorRT leaves to CUDA what it cannot build.

    `profile`: the shapes of TensorRT's engine, which is built when the session opens. Without, it is built again for
    every shape beyond those seen. `cache`: folder in which engines are kept for the next start.
    """
    if provider == CUDA:
        return [(CUDA, dict(CUDA_OPTIONS))]
    if provider != TENSORRT:
        return [provider]
    options: dict[str, str] = {}
    if profile is not None:
        names = ("trt_profile_min_shapes", "trt_profile_opt_shapes", "trt_profile_max_shapes")
        options |= dict(zip(names, map(shapes_text, profile), strict=True))
    if cache is not None:
        options |= {"trt_engine_cache_enable": "1", "trt_engine_cache_path": cache}
    return [(TENSORRT, options), (CUDA, dict(CUDA_OPTIONS))]


def way_to(provider: str) -> str:
    """Return what a caller can do about a provider that is missing or does not start."""
    if provider == TENSORRT:
        return (
            "it takes onnxruntime-gpu, a GPU, and TensorRT's libraries (libnvinfer ...) on LD_LIBRARY_PATH;"
            " CUDAExecutionProvider does without TensorRT, CPUExecutionProvider without a GPU"
        )
    return (
        'pip uninstall onnxruntime, then pip install "onnxruntime-gpu[cuda,cudnn]", which brings the CUDA libraries,'
        " or use CPUExecutionProvider"
    )
