"""A model in formats that other tools read, each checked against the model before it is given out."""

import inspect
import json
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddmlp import __version__
from ddmlp.errors import ConfigError, RunError, require_extra
from ddmlp.inference.model import Model
from ddmlp.inference.probes import probe_images
from ddmlp.nn import reference
from ddmlp.runs.arrays import weight_arrays
from ddmlp.runs.json_text import to_json

OPSET, IR = 17, 8  # ONNX's, of 2022, when they came together: runtimes since then read them
# The most that a probability of the file may differ from the model's. Both round: those of models of MNIST were 1e-6
# apart at most, those of one with weights 1,000 times as large as they are drawn 2e-4.
TOLERANCE = 1e-3


class Format(NamedTuple):
    """encode: a model, and what one has to know of it, as a file; compute: the probabilities (B, classes) and the
    classes (B,) that such a file gives for images (B, height, width) uint8."""

    encode: Callable[[Model, dict[str, str]], bytes]
    compute: Callable[[bytes, Model, NDArray[np.uint8]], tuple[NDArray[np.floating], NDArray[np.int64]]]


def export(model: Model, to: str, *, float32: bool = False) -> bytes:
    """The model as a file in the format `to`, one of FORMATS; float32: with arithmetic in it, not in float64.

    Raises ConfigError if the format's package is not installed, or has no arithmetic to choose; RunError if the file
    would not recognise what the model recognises.
    """
    if float32 and to != "onnx":
        raise ConfigError(f"--float32 goes with --to onnx: {to} has only weights, which are float32")
    metadata = metadata_of(model)
    images = probe_images(model.image_shape)
    with require_extra(to), np.errstate(over="ignore", invalid="ignore"):  # e^z of a large z is infinite, and 1 / e^z 0
        form = FLOAT32 if float32 else FORMATS[to]
        written = form.encode(model, metadata)
        probabilities, classes = form.compute(written, model, images)
    expected = model.predict_proba(images)
    off = float(np.abs(probabilities - expected).max())
    worse = float((expected.max(axis=1) - expected[np.arange(len(classes)), classes]).max())
    if not (off <= TOLERANCE and worse <= 2 * TOLERANCE):
        raise RunError(
            f"the {to} file would not recognise what the model does: its probabilities differ by {off:.2g}, expected "
            f"{TOLERANCE:g} at most; no file is written"
        )
    return written


def metadata_of(model: Model) -> dict[str, str]:
    """What one has to know to use the weights, and where they are from: texts, as both formats want them.

    Raises RunError if the formula, or its code in `reference`, does not use just the parameters of the model.
    """
    shapes = {name: array.shape for name, array in model.weights.parameters.items()}
    used = list(inspect.signature(reference.forward).parameters)
    if used != [*map(str.lower, shapes), "x"] or not all(name in reference.FORMULA for name in shapes):
        raise RunError(
            f"the model has the parameters {', '.join(shapes)}, but the formula in nn/reference.py is of "
            f"{', '.join(used)}: {reference.FORMULA}; what is exported would be another network"
        )
    return {
        "formula": f"{reference.FORMULA}, x = pixels / 255",
        "pixels": "uint8, row by row, 0 for paper to 255 for ink",
        "input_scale": "1/255",
        "image_shape": json.dumps(list(model.image_shape)),
        "look": to_json(model.look),
        **({"class_names": json.dumps(model.class_names)} if model.class_names else {}),
        "hidden_activation": "logistic",
        "output_activation": "softmax",
        "biases": ", ".join(name for name, shape in shapes.items() if len(shape) == 1) or "none",
        "classes": str(model.weights.shape.outputs),
        **{name: json.dumps(list(shape)) for name, shape in shapes.items()},
        "weights_sha256": model.weights.sha256(),  # of the little-endian bytes of the parameters, in this order
        "ddmlp": __version__,
    }


def to_safetensors(model: Model, metadata: dict[str, str]) -> bytes:
    """The parameters by name, float32 (https://huggingface.co/docs/safetensors)."""
    from safetensors.numpy import save

    written: bytes = save(weight_arrays(model.weights), metadata=metadata)
    return written


def compute_safetensors(
    written: bytes, model: Model, images: NDArray[np.uint8]
) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """What the formula in `reference` gives with the tensors of a file."""
    from safetensors.numpy import load

    tensors = load(written)
    inputs = [tensors[name].astype(np.float64) for name in model.weights.parameters]
    inputs.append(images.reshape(len(images), -1) / 255)
    _, y2 = reference.forward(*inputs)
    return y2, y2.argmax(axis=1)


def to_onnx(model: Model, metadata: dict[str, str], *, float32: bool = False) -> bytes:
    """A graph that any runtime of ONNX computes (https://onnx.ai).

    images         (batch, height, width) uint8, 0 for paper to 255 for ink: what MNIST's files hold
    probabilities  (batch, classes) float32
    class          (batch,) int64, the most probable

    The scaling to 0..1 is part of the graph. The weights are float32. The arithmetic is float64: in float32,
    probabilities of MNIST's test set were up to 3e-6 off, in every runtime in its own way. Some have no float64.

    Raises RunError if a parameter of the model is not used by the graph.
    """
    from onnx import TensorProto, checker, helper, numpy_helper

    weights, node = model.weights, helper.make_node
    real = TensorProto.FLOAT if float32 else TensorProto.DOUBLE
    nodes = [
        node("Flatten", ["images"], ["pixels"], axis=1),
        node("Cast", ["pixels"], ["levels"], to=real),
        *(node("Cast", [name], [f"real_{name.lower()}"], to=real) for name in weights.parameters),
        node("Mul", ["levels", "scale"], ["x"]),
        node("MatMul", ["x", "real_w1"], ["z1"]),
        node("Sigmoid", ["z1"], ["y1"]),
        node("MatMul", ["y1", "real_w2"], ["z2"]),
        node("Softmax", ["z2"], ["y2"], axis=1),
        node("Cast", ["y2"], ["probabilities"], to=TensorProto.FLOAT),
        node("ArgMax", ["probabilities"], ["class"], axis=1, keepdims=0),
    ]
    used = {name for each in nodes for name in each.input}
    if unused := [name for name in weights.parameters if f"real_{name.lower()}" not in used]:
        raise RunError(f"the ONNX graph does not use {', '.join(unused)}, which the model has; no file is written")
    graph = helper.make_graph(
        nodes,
        "ddmlp",
        inputs=[helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", *model.image_shape])],
        outputs=[
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", weights.shape.outputs]),
            helper.make_tensor_value_info("class", TensorProto.INT64, ["batch"]),
        ],
        initializer=[
            numpy_helper.from_array(np.array(1 / 255, np.float32 if float32 else np.float64), "scale"),
            *(numpy_helper.from_array(array, name) for name, array in weight_arrays(weights).items()),
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


def compute_onnx(written: bytes, _: Model, images: NDArray[np.uint8]) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """What the graph of a file gives, by ONNX's own definition of its operators."""
    from onnx.reference import ReferenceEvaluator

    probabilities, classes = ReferenceEvaluator(written).run(["probabilities", "class"], {"images": images})
    return probabilities, classes


FORMATS = {  # by name, which is that of the format's extra
    "onnx": Format(to_onnx, compute_onnx),
    "safetensors": Format(to_safetensors, compute_safetensors),
}
FLOAT32 = Format(lambda model, metadata: to_onnx(model, metadata, float32=True), compute_onnx)
