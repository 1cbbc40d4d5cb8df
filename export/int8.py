"""A graph whose weight matrices have eight bits, a scale a column, and whose activations are rounded as they come.

Weights are stored as uint8 around 128 and not as int8: x86 processors without VNNI add products of uint8 and int8 in 16
bits, which saturate, so that the same graph would answer otherwise there. Products of two uint8 are exact on all.
"""

import logging
from pathlib import Path

import onnx

from glam.runtime import switch_telemetry_off


def write_int8(source: Path, path: Path, *, scratch: Path) -> None:
    """Write a graph with its matrices in eight bits at `path`; products of two activations stay in float32."""
    switch_telemetry_off()
    from onnxruntime.quantization import QuantType, quantize_dynamic

    proto = onnx.load(source)
    del proto.graph.value_info[:]  # shapes of weights in there stop the quantiser
    plain = scratch / "plain.onnx"
    onnx.save_model(proto, plain, save_as_external_data=True, location="plain.onnx.data")
    logging.disable(logging.WARNING)  # it recommends a preparation that does nothing for these graphs
    try:
        quantize_dynamic(
            plain,
            path,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            weight_type=QuantType.QUInt8,
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT, "WeightSymmetric": True},
        )
    finally:
        logging.disable(logging.NOTSET)
