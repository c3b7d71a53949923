"""The command `ddmlp COMMAND ...`, also as `python -m ddmlp COMMAND ...`."""

import sys
from importlib import import_module

from ddmlp import __version__
from ddmlp.cli.terminal import command, fail

COMMANDS = {  # each is the function main() of its file in ddmlp/cli/
    "fetch": "download MNIST or Fashion-MNIST",
    "convert": "convert IDX, Parquet, Arrow, npz and CSV files and pictures to Arrow datasets",
    "train": "train a network, in one process or with workers on Ray",
    "augment": "draw training images and their distortions",
    "evaluate": "test a model on a dataset",
    "predict": "recognise the digits in pictures",
    "verify": "compute a run again and compare its hashes",
    "replay": "compute an asynchronous run again in the order of its updates",
    "report": "write a page about runs",
    "export": "write a model as ONNX or safetensors",
    "exercise": "check the answer to an exercise",
    "serve": "recognise digits and show runs in a browser",
    "demo": "show training with workers, some of which are killed on purpose",
}
USAGE = (
    "usage: ddmlp COMMAND ...\n\n{}\n\nddmlp COMMAND --help describes a command, ddmlp --version prints the version."
)


def main() -> None:
    """Run the command that the first argument names."""
    name, *rest = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(USAGE.format("\n".join(f"  {each:<10}{what}" for each, what in COMMANDS.items())))
        sys.exit(0)
    if name == "--version":
        print(f"ddmlp {__version__}")
        sys.exit(0)
    if name not in COMMANDS:
        fail(f"ddmlp has no command {name!r}, expected one of {', '.join(COMMANDS)}; see ddmlp --help")
        sys.exit(2)
    sys.argv[:] = [f"ddmlp {name}", *rest]
    command(lambda: import_module(f"ddmlp.cli.{name}").main())  # so Ctrl-C during the imports is one line, too


if __name__ == "__main__":
    main()
