"""Names in the Triton model repository of a bundle, agreed between glam-export, which writes it, and its client.

The version of every model is a number made of the bundle's SHA-256. A request names it, so that Triton refuses the
request when it serves another bundle.
"""

from typing import Literal

Graph = Literal["vision", "alignment", "text"]
GRAPH_NAMES: tuple[Graph, ...] = ("vision", "alignment", "text")
BREAST = "glam_breast"
"""The ensemble of vision and alignment: the two images of a breast in, everything of them out."""
MAX_BATCH: dict[Graph, int] = {"vision": 8, "alignment": 8, "text": 32}
"""Rows that a written repository lets Triton run together."""
BUNDLE_PARAMETER = "bundle_sha256"
"""In every config.pbtxt: the hash of the bundle, in full."""


def model_name(graph: Graph) -> str:
    """Return what Triton calls a graph."""
    return f"glam_{graph}"


def model_version(bundle_sha256: str) -> str:
    """Return the version folder of a bundle: the first 48 bits of its hash as a decimal number above 0."""
    return str(int(bundle_sha256[:12], 16) + 1)
