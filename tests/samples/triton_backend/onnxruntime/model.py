"""A stand-in for Triton's ONNX Runtime backend, for the Triton that comes without it: runs model.onnx on the CPU.

A python-based backend: Triton loads it in the place of `libtriton_onnxruntime.so` for `backend: "onnxruntime"`.
NumPy below 2: what the server's Python backend was built against; with 2 its outputs arrive empty.
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils

TYPES = {"tensor(float)": "TYPE_FP32", "tensor(int64)": "TYPE_INT64"}


def as_configured(tensor):
    return tensor["data_type"], [int(size) for size in tensor["dims"]]


def as_in_graph(entry):
    return TYPES.get(entry.type, entry.type), [size if isinstance(size, int) else -1 for size in entry.shape[1:]]


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        return config

    def initialize(self, arguments):
        config = json.loads(arguments["model_config"])
        folder = Path(arguments["model_repository"], arguments["model_version"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            folder / config["default_model_filename"], options, providers=["CPUExecutionProvider"]
        )
        self.inputs = [tensor["name"] for tensor in config["input"]]
        self.outputs = [tensor["name"] for tensor in config["output"]]
        self.compare("input", config["input"], self.session.get_inputs())
        self.compare("output", config["output"], self.session.get_outputs())

    def compare(self, kind, tensors, entries):
        """Refuse a configuration that is not of the graph, as the C++ backend does."""
        in_graph = {entry.name: as_in_graph(entry) for entry in entries}
        for tensor in tensors:
            if tensor["name"] not in in_graph:
                raise pb_utils.TritonModelException(f"the graph has no {kind} {tensor['name']}, only {list(in_graph)}")
            if as_configured(tensor) != in_graph[tensor["name"]]:
                message = f"{kind} {tensor['name']} is {as_configured(tensor)} in config.pbtxt"
                raise pb_utils.TritonModelException(f"{message} and {in_graph[tensor['name']]} in the graph")

    def execute(self, requests):
        """Run what Triton has batched at once."""
        columns = [
            [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for request in requests]
            for name in self.inputs
        ]
        feeds = {name: np.concatenate(parts) for name, parts in zip(self.inputs, columns, strict=True)}
        ends = np.cumsum([len(part) for part in columns[0]])[:-1]
        arrays = [np.split(array, ends) for array in self.session.run(self.outputs, feeds)]
        return [
            pb_utils.InferenceResponse(
                [
                    pb_utils.Tensor(name, np.ascontiguousarray(parts[index]))
                    for name, parts in zip(self.outputs, arrays, strict=True)
                ]
            )
            for index in range(len(requests))
        ]
