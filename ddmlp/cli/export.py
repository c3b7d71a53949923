"""Export a model: ddmlp export --model RUN_OR_NPZ --to onnx|safetensors OUT"""

import argparse
from pathlib import Path

from ddmlp.cli.terminal import Parser, command
from ddmlp.errors import ConfigError

FORMATS = ("onnx", "safetensors")  # those of inference.export, which --help does not wait for


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(prog="ddmlp export", description="Write a model as ONNX or safetensors.")
    parser.add_argument("--model", type=Path, action="append", required=True,
                        help="a run's folder, or an .npz file of weights")  # fmt: skip
    parser.add_argument("--to", choices=FORMATS, required=True, help="onnx: a graph from uint8 images to "
                        "probabilities; safetensors: the weights, with their description")  # fmt: skip
    parser.add_argument("--float32", action="store_true", help="compute in float32, not in float64: for runtimes "
                        "without float64, such as OpenCV's")  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    parser.add_argument("out", type=Path, metavar="OUT", help="the file to write")
    return parser.parse_args(arguments)


def main() -> None:
    args = parse()
    if len(args.model) > 1:
        raise ConfigError(f"found {len(args.model)} models, expected one: an exported model is one network")
    if args.out.exists() and not args.overwrite:
        raise ConfigError(f"{args.out} exists; choose another name, or give --overwrite")
    from ddmlp.files import write_whole
    from ddmlp.inference.export import export
    from ddmlp.inference.saved_model import load_model

    model = load_model(args.model[0])
    written = export(model, args.to, float32=args.float32)
    write_whole(args.out, written)
    print(f"{args.out}  {len(written):,} bytes, weights sha256 {model.weights.sha256()}")


if __name__ == "__main__":
    command(main)
