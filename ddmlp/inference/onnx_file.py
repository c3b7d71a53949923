"""A model as an ONNX graph, which any runtime of that format computes (https://onnx.ai; needs the extra onnx).

    images         (batch, height, width) uint8, 0 for paper to 255 for ink: what MNIST's files hold
    probabilities  (batch, classes) float32
    class          (batch,) int64, the most probable

The scaling to 0..1 is part of the graph, so that nobody has to know of it. The weights are float32, the arithmetic is
float64: in float32, probabilities of MNIST's test set were up to 3e-6 off, in every runtime in its own way.
"""

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

from ddmlp import __version__
from ddmlp.inference.model import Model

OPSET, IR = 17, 8  # of 2022, when they came together: runtimes since then read them


def to_onnx(model: Model, about: dict[str, str]) -> bytes:
    """The file, with `about` as its metadata; the weights must be float32."""
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
            numpy_helper.from_array(weights.w1, "W1"),
            numpy_helper.from_array(weights.w2, "W2"),
        ],
    )
    whole = helper.make_model(
        graph,
        producer_name="ddmlp",
        producer_version=__version__,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
    )
    helper.set_model_props(whole, about)
    checker.check_model(whole, full_check=True)
    written: bytes = whole.SerializeToString()
    return written
