"""Exports models to formats that other tools read, and checks each file against its model."""

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

OPSET, IR = 17, 8  # of ONNX 1.12, released in 2022: every later runtime reads them
# Largest difference between a probability of the file and of the model. Both round: models of MNIST differed by at most
# 1e-6, and one whose weights were 1,000 times as large as initial weights by 2e-4.
TOLERANCE = 1e-3


class Format(NamedTuple):
    """A file format.

    Parameters
    ----------
    encode
        Returns the file of a model and its metadata.
    compute
        Returns what a file computes for images (B, height, width) uint8: probabilities (B, classes) and classes (B,).
    """

    encode: Callable[[Model, dict[str, str]], bytes]
    compute: Callable[[bytes, Model, NDArray[np.uint8]], tuple[NDArray[np.floating], NDArray[np.int64]]]


def export(model: Model, to: str, *, float32: bool = False) -> bytes:
    """Export a model.

    Parameters
    ----------
    model
        The model.
    to
        The format: "onnx" (https://onnx.ai) or "safetensors" (https://huggingface.co/docs/safetensors).
    float32
        Whether the graph computes in float32 instead of float64; only for ONNX. Weights are float32 in any case.

    Returns
    -------
    bytes
        The contents of the file.

    Raises
    ------
    ConfigError
        If the extra of the format is not installed, or if `float32` is set for safetensors.
    RunError
        If the probabilities that the file gives differ from those of the model.

    Examples
    --------
    >>> from ddmlp.nn.weights import Shape, Weights
    >>> written = export(Model(Weights.draw(Shape(4, 3, 2), seed=0), (2, 2)), "safetensors")
    >>> from safetensors.numpy import load
    >>> {name: array.shape for name, array in sorted(load(written).items())}
    {'W1': (4, 3), 'W2': (3, 2)}
    """
    if float32 and to != "onnx":
        raise ConfigError(f"--float32 requires --to onnx: a {to} file has only weights, which are float32")
    metadata = metadata_of(model)
    images = probe_images(model.image_shape)
    # e^z may overflow to infinity; 1 / e^z is 0.
    with require_extra(to, f"export to {to}"), np.errstate(over="ignore", invalid="ignore"):
        form = FLOAT32 if float32 else FORMATS[to]
        written = form.encode(model, metadata)
        probabilities, classes = form.compute(written, model, images)
    expected = model.predict_proba(images)
    off = float(np.abs(probabilities - expected).max())
    worse = float((expected.max(axis=1) - expected[np.arange(len(classes)), classes]).max())
    if not (off <= TOLERANCE and worse <= 2 * TOLERANCE):
        raise RunError(
            f"the {to} file does not agree with the model: its probabilities differ by {off:.2g}, expected at most "
            f"{TOLERANCE:g}; no file is written"
        )
    return written


def metadata_of(model: Model) -> dict[str, str]:
    """Return what a user of the exported weights must know, and where they come from; all values are texts.

    Raises
    ------
    RunError
        If the formula in `ddmlp.nn.reference` uses other parameters than the model has.
    """
    shapes = {name: array.shape for name, array in model.weights.parameters.items()}
    used = list(inspect.signature(reference.forward).parameters)
    if used != [*map(str.lower, shapes), "x"] or not all(name in reference.FORMULA for name in shapes):
        raise RunError(
            f"the model has the parameters {', '.join(shapes)}, but the formula in nn/reference.py takes "
            f"{', '.join(used)}: {reference.FORMULA}; the export would be another network"
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
        "weights_sha256": model.weights.sha256(),  # over the little-endian bytes of the parameters, in this order
        "ddmlp": __version__,
    }


def to_safetensors(model: Model, metadata: dict[str, str]) -> bytes:
    """Encode the parameters by name, float32 (https://huggingface.co/docs/safetensors)."""
    from safetensors.numpy import save

    written: bytes = save(weight_arrays(model.weights), metadata=metadata)
    return written


def compute_safetensors(
    written: bytes, model: Model, images: NDArray[np.uint8]
) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """Compute the formula of `ddmlp.nn.reference` with the tensors of a file."""
    from safetensors.numpy import load

    tensors = load(written)
    inputs = [tensors[name].astype(np.float64) for name in model.weights.parameters]
    inputs.append(images.reshape(len(images), -1) / 255)
    _, y2 = reference.forward(*inputs)
    return y2, y2.argmax(axis=1)


def to_onnx(model: Model, metadata: dict[str, str], *, float32: bool = False) -> bytes:
    """Encode a graph for any ONNX runtime (https://onnx.ai).

    =============  =======================================================================
    images         input, (batch, height, width) uint8, 0 for paper to 255 for ink
    probabilities  output, (batch, classes) float32
    class          output, (batch,) int64: the most probable class
    =============  =======================================================================

    The graph scales pixels to 0..1. Its weights are float32. It computes in float64, because float32 probabilities of
    MNIST's test set were off by up to 3e-6, by a different amount in each runtime; a few runtimes lack float64.

    Raises
    ------
    RunError
        If the graph does not use a parameter of the model.
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
        raise RunError(f"the ONNX graph does not use the model's {', '.join(unused)}; no file is written")
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
    """Evaluate the graph of a file with ONNX's reference implementation of its operators."""
    from onnx.reference import ReferenceEvaluator

    probabilities, classes = ReferenceEvaluator(written).run(["probabilities", "class"], {"images": images})
    return probabilities, classes


FORMATS = {  # by name, which is also the name of the extra
    "onnx": Format(to_onnx, compute_onnx),
    "safetensors": Format(to_safetensors, compute_safetensors),
}
FLOAT32 = Format(lambda model, metadata: to_onnx(model, metadata, float32=True), compute_onnx)
