"""Export a model: python -m ddmlp.export --model RUN_OR_NPZ --to onnx|safetensors OUT"""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ddmlp import __version__
from ddmlp.cli.terminal import Parser, command
from ddmlp.errors import ConfigError, RunError, require_extra

if TYPE_CHECKING:  # --help need not wait for it
    from ddmlp.inference.model import Model

FORMATS = ("onnx", "safetensors")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(prog="python -m ddmlp.export", description="Write a model in a format that other tools read.")
    parser.add_argument("--model", type=Path, required=True, help="a run's folder, or an .npz file with W1 and W2")
    parser.add_argument("--to", choices=FORMATS, required=True, help="onnx: a graph from uint8 images to "
                        "probabilities; safetensors: the weights, and what they mean")  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace OUT where it is there already")
    parser.add_argument("out", type=Path, metavar="OUT", help="the file to write")
    return parser.parse_args(arguments)


def describe(model: "Model") -> dict[str, str]:
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


def encode(model: "Model", to: str) -> bytes:
    """The file in the format `to`; raises ConfigError where its package is missing."""
    about = describe(model)
    with require_extra(to):
        if to == "onnx":
            from ddmlp.inference.onnx_file import to_onnx

            return to_onnx(model, about)
        from ddmlp.inference.safetensors_file import to_safetensors

        return to_safetensors(model, about)


def main() -> None:
    args = parse()
    if args.out.exists() and not args.overwrite:
        raise ConfigError(f"{args.out} is there already; choose another name, or say --overwrite")
    from ddmlp.files import write_whole
    from ddmlp.inference.model import load_model

    model = load_model(args.model)
    if model.weights.flat.dtype != "float32":
        raise RunError(
            f"{args.model} has {model.weights.flat.dtype} weights, expected float32, as training leaves them"
        )
    written = encode(model, args.to)
    write_whole(args.out, written)
    print(f"{args.out}  {len(written):,} bytes, weights sha256 {model.weights.sha256()}")


if __name__ == "__main__":
    command(main)
