"""A graph whose matrices are multiplied in half precision; everything else, inputs and outputs too, stays float32.

Normalisation, softmax and the convolution of the stem keep their range, so that no epsilon is lost.
"""

from collections.abc import Iterable
from typing import Literal

import ml_dtypes
import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

Half = Literal["fp16", "bf16"]
_TYPES: dict[Half, tuple[int, type]] = {
    "fp16": (TensorProto.FLOAT16, np.float16),
    "bf16": (TensorProto.BFLOAT16, ml_dtypes.bfloat16),
}


def in_half(proto: onnx.ModelProto, half: Half, *, emulated: bool = False) -> onnx.ModelProto:
    """Return a copy of a graph that multiplies in `half`. ValueError for a weight beyond the range of the type.

    `emulated`: the same roundings with float32 products, for a runtime that multiplies no such matrices.
    """
    converted = onnx.ModelProto()
    converted.CopyFrom(proto)
    _Conversion(converted.graph, half, emulated=emulated).run()
    return converted


class _Conversion:
    """The tensors of one graph that were rounded so far."""

    def __init__(self, graph: onnx.GraphProto, half: Half, *, emulated: bool) -> None:
        self.graph = graph
        self.half: Half = half
        self.emulated = emulated
        self.weights = {tensor.name: tensor for tensor in graph.initializer}
        self.rounded: dict[str, str] = {}
        """Tensor -> its copy in half precision."""
        self.nodes: list[NodeProto] = []

    def run(self) -> None:
        """Convert the graph in place."""
        for node in list(self.graph.node):
            positions = self._matrices(node)
            for position in positions:
                node.input[position] = self._operand(node.input[position])
            self.nodes.append(node)
            if positions:
                self._restore(node)
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)
        used = {name for node in self.graph.node for name in node.input}
        kept = [tensor for tensor in self.graph.initializer if tensor.name in used]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)

    def _matrices(self, node: NodeProto) -> Iterable[int]:
        """Return which inputs of a node are matrices to be rounded."""
        if node.op_type in {"MatMul", "Gemm"}:
            return range(len(node.input))
        table = self.weights.get(node.input[0]) if node.op_type == "Gather" else None
        return [0] if table is not None and table.data_type == TensorProto.FLOAT else []

    def _operand(self, name: str) -> str:
        """Return the name of a tensor's copy as the operand of a product."""
        if name not in self.rounded:
            self.rounded[name] = self._weight(name) if name in self.weights else self._cast(name, _TYPES[self.half][0])
        rounded = self.rounded[name]
        return self._cast(rounded, TensorProto.FLOAT) if self.emulated else rounded

    def _restore(self, node: NodeProto) -> None:
        """Give the result of a product back in float32, under its name."""
        result = node.output[0]
        node.output[0] = f"{result}_{self.half}"
        source = self._cast(node.output[0], _TYPES[self.half][0]) if self.emulated else node.output[0]
        self.nodes.append(helper.make_node("Cast", [source], [result], name=f"{result}_float", to=TensorProto.FLOAT))

    def _weight(self, name: str) -> str:
        values = numpy_helper.to_array(self.weights[name])
        with np.errstate(over="ignore"):
            rounded = values.astype(_TYPES[self.half][1])
        if not np.isfinite(rounded.astype(np.float32)).all():
            raise ValueError(f"a weight of {np.abs(values).max():g} is beyond the range of {self.half}: choose bf16")
        self.graph.initializer.append(numpy_helper.from_array(rounded, f"{name}_{self.half}"))
        return f"{name}_{self.half}"

    def _cast(self, name: str, to: int) -> str:
        cast = f"{name}_cast_{len(self.nodes)}"
        self.nodes.append(helper.make_node("Cast", [name], [cast], name=cast, to=to))
        return cast
