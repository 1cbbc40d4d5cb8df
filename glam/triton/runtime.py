"""A bundle's graphs in a Triton Inference Server: a Runtime that loads no model of its own.

Triton serves what `glam-export triton` wrote from this very bundle. Squares, patches and tokens cross the network as
they are; nothing of a header does.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from glam.bundle import Bundle
from glam.runtime import AlignOut, EngineUnavailableError, VisionOut
from glam.triton.client import WAY_OUT, TritonClient
from glam.triton.endpoint import parse_endpoint
from glam.triton.repository import BUNDLE_PARAMETER, GRAPH_NAMES, Graph, model_name, model_version

TIMEOUT_S = 20.0
"""Longest wait for one answer of Triton."""


class TritonRuntime:
    """A bundle in a Triton server. It connects when first asked, so that it can be opened before Triton is up.

    EngineUnavailableError: Triton cannot be reached, does not answer in time, or does not serve this bundle.
    """

    def __init__(self, bundle: Bundle, url: str, *, timeout_s: float = TIMEOUT_S) -> None:
        """Take the address; ValueError for one that is none, or where the bundle's licence does not let it go."""
        endpoint = parse_endpoint(url)
        if not (bundle.may_serve and bundle.may_share) and not endpoint.is_loopback:
            raise ValueError(
                f"the licence of {bundle.name} keeps it on this machine, and {url} may be another:"
                " run Triton here, and give its address as 127.0.0.1"
            )
        self._client = TritonClient(endpoint, timeout_s=timeout_s)
        self._bundle_sha256 = bundle.sha256
        self._version = model_version(bundle.sha256)
        self._graphs: list[Graph] = [graph for graph in GRAPH_NAMES if f"{graph}.onnx" in bundle.file_hashes]
        self._max_batch: dict[Graph, int] = {}
        self._was_away = False

    @property
    def provider(self) -> str:
        """What runs the model."""
        return f"Triton at {self._client.endpoint.url}"

    @property
    def compares_views(self) -> bool:
        """Whether the bundle has a graph of the alignment."""
        return "alignment" in self._graphs

    def vision(self, images: np.ndarray) -> VisionOut:
        """Embed n prepared views: (n, 1, S, S) in [0, 1]."""
        inputs = {"image": np.ascontiguousarray(images, np.float32)}
        return VisionOut(*self._run("vision", inputs, ("image_embedding", "patches")))

    def align(self, patches_cc: np.ndarray, patches_mlo: np.ndarray) -> AlignOut:
        """Align n pairs of views: (n, patch, dim) each, from `vision`."""
        if not self.compares_views:
            raise ValueError("this bundle's model does not compare its views: it has no graph of the alignment")
        patches = {"patches_cc": patches_cc, "patches_mlo": patches_mlo}
        inputs = {name: np.ascontiguousarray(array, np.float32) for name, array in patches.items()}
        return AlignOut(*self._run("alignment", inputs, AlignOut._fields))

    def text(self, token_ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Embed n texts: int64 (n, token) each -> (n, joint), unit length."""
        tokens = {"token_ids": token_ids, "mask": mask}
        inputs = {name: np.ascontiguousarray(array, np.int64) for name, array in tokens.items()}
        return self._run("text", inputs, ("text_embedding",))[0]

    def warm_up(self) -> None:
        """Ask whether Triton serves every graph of this bundle. ValueError: by a configuration that cannot be used."""
        self._max_batch = {graph: self._ask_max_batch(graph) for graph in self._graphs}

    def is_ready(self) -> bool:
        """Say whether Triton serves every graph of this bundle now."""
        try:
            is_ready = all(self._is_served(graph) for graph in self._graphs)
        except EngineUnavailableError:
            is_ready = False
        self._was_away = not is_ready
        return is_ready

    def _run(self, graph: Graph, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        """Run a graph, in batches as large as Triton takes."""
        self._return_at_once_when_away()
        try:
            if not self._max_batch:
                self.warm_up()
            size, num_rows = self._max_batch[graph], len(next(iter(inputs.values())))
            parts = [
                self._infer(graph, {name: array[start : start + size] for name, array in inputs.items()}, outputs)
                for start in range(0, num_rows, size)
            ]
        except EngineUnavailableError:
            self._was_away = True
            raise
        return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]

    def _return_at_once_when_away(self) -> None:
        """After a failure, ask for a sign of life before anything that may take long."""
        if self._was_away and not self.is_ready():
            raise EngineUnavailableError(f"{self.provider} does not answer, or does not serve this bundle")

    def _infer(self, graph: Graph, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        arrays = self._client.ask(
            lambda connection: connection.infer(model_name(graph), self._version, inputs, outputs)
        )
        num_rows = len(next(iter(inputs.values())))
        return [_checked(name, array, num_rows) for name, array in zip(outputs, arrays, strict=True)]

    def _is_served(self, graph: Graph) -> bool:
        return self._client.ask(lambda connection: connection.is_ready(model_name(graph), self._version))

    def _ask_max_batch(self, graph: Graph) -> int:
        """Return how many rows Triton takes at a time of a graph that it has said is this bundle's."""
        name = model_name(graph)
        config = self._client.ask(lambda connection: connection.config(name, self._version))
        if config.get("parameters", {}).get(BUNDLE_PARAMETER, {}).get("string_value") != self._bundle_sha256:
            raise EngineUnavailableError(f"{name} at {self._client.endpoint.url} is of another bundle: {WAY_OUT}")
        max_batch = int(config.get("max_batch_size", 0))
        if max_batch < 1:
            raise ValueError(f"max_batch_size of {name} at {self._client.endpoint.url} is 0: set it to 1 or more")
        return max_batch


def _checked(name: str, array: np.ndarray | None, num_rows: int) -> np.ndarray:
    """Return an output that has a row for each row of the inputs; a Python backend under NumPy 2 answers with none."""
    got = 0 if array is None else len(array)
    if array is None or got != num_rows:
        raise ValueError(f"Triton answered with {got} rows of {name} to {num_rows}: its backend is broken")
    return array
