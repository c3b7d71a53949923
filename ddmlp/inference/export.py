"""A model in formats that other tools read."""

import json

import numpy as np

from ddmlp import __version__
from ddmlp.errors import require_extra
from ddmlp.inference.model import Model
from ddmlp.runs.arrays import weight_arrays

OPSET, IR = 17, 8  # ONNX's, of 2022, when they came together: runtimes since then read them


def export(model: Model, to: str) -> bytes:
    """The model as a file in the format `to`, one of ENCODERS.

    Raises ConfigError if the format's package is not installed.
    """
    metadata = metadata_of(model)
    with require_extra(to):
        return ENCODERS[to](model, metadata)


def metadata_of(model: Model) -> dict[str, str]:
    """What one has to know to use the weights, and where they are from: texts, as both formats want them."""
    inputs, hidden, outputs = model.weights.shape
    return {
        "formula": "softmax(logistic(x W1) W2), x = pixels / 255",
        "pixels": "uint8, row by row, 0 for paper to 255 for ink",
        "input_scale": "1/255",
        "image_shape": json.dumps(list(model.image_shape)),
        "hidden_activation": "logistic",
        "output_activation": "softmax",
        "biases": "none",
        "classes": str(outputs),
        "W1": json.dumps([inputs, hidden]),
        "W2": json.dumps([hidden, outputs]),
        "weights_sha256": model.weights.sha256(),  # of the little-endian bytes of W1, then W2
        "ddmlp": __version__,
    }


def to_safetensors(model: Model, metadata: dict[str, str]) -> bytes:
    """The tensors W1 (inputs, hidden) and W2 (hidden, classes), float32 (https://huggingface.co/docs/safetensors)."""
    from safetensors.numpy import save

    written: bytes = save(weight_arrays(model.weights), metadata=metadata)
    return written


def to_onnx(model: Model, metadata: dict[str, str]) -> bytes:
    """A graph that any runtime of ONNX computes (https://onnx.ai).

    images         (batch, height, width) uint8, 0 for paper to 255 for ink: what MNIST's files hold
    probabilities  (batch, classes) float32
    class          (batch,) int64, the most probable

    The scaling to 0..1 is part of the graph. The weights are float32, the arithmetic is float64: in float32,
    probabilities of MNIST's test set were up to 3e-6 off, in every runtime in its own way.
    """
    from onnx import TensorProto, checker, helper, numpy_helper

    weights, node = model.weights, helper.make_node
    graph = helper.make_graph(
        [
            node("Flatten", ["images"], ["pixels"], axis=1),
            node("Cast", ["pixels"], ["levels"], to=TensorProto.DOUBLE),
            node("Cast", ["W1"], ["w1"], to=TensorProto.DOUBLE),
            node("Cast", ["W2"], ["w2"], to=TensorProto.DOUBLE),
            node("Mul", ["levels", "scale"], ["x"]),
            node("MatMul", ["x", "w1"], ["z1"]),
            node("Sigmoid", ["z1"], ["y1"]),
            node("MatMul", ["y1", "w2"], ["z2"]),
            node("Softmax", ["z2"], ["y2"], axis=1),
            node("Cast", ["y2"], ["probabilities"], to=TensorProto.FLOAT),
            node("ArgMax", ["probabilities"], ["class"], axis=1, keepdims=0),
        ],
        "ddmlp",
        inputs=[helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", *model.image_shape])],
        outputs=[
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", weights.shape.outputs]),
            helper.make_tensor_value_info("class", TensorProto.INT64, ["batch"]),
        ],
        initializer=[
            numpy_helper.from_array(np.array(1 / 255), "scale"),
            *(numpy_helper.from_array(matrix, name) for name, matrix in weight_arrays(weights).items()),
        ],
    )
    whole = helper.make_model(
        graph,
        producer_name="ddmlp",
        producer_version=__version__,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
    )
    helper.set_model_props(whole, metadata)
    checker.check_model(whole, full_check=True)
    written: bytes = whole.SerializeToString()
    return written


ENCODERS = {"onnx": to_onnx, "safetensors": to_safetensors}  # by the name of the format, which is that of its extra
