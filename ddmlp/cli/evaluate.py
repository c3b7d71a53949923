"""Evaluate: ddmlp evaluate --model RUN_OR_NPZ --data DIR"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ddmlp.cli.terminal import MODELS, Parser, command
from ddmlp.data.manifest import NAME, Manifest
from ddmlp.errors import RunError

if TYPE_CHECKING:  # which --help does not wait for
    import numpy as np
    from numpy.typing import NDArray


def table(confusion: "NDArray[np.int64]", names: Sequence[str] | None = None) -> str:
    """Format a confusion matrix, with the names of the classes if they have any."""
    heads = list(names or map(str, range(len(confusion))))
    heading = ["", *heads]
    lines = [[head, *(str(count or ".") for count in row)] for head, row in zip(heads, confusion.tolist(), strict=True)]
    width = max(len(cell) for line in [heading, *lines] for cell in line) + (2 if names else 1)
    text = ("".join(f"{cell:>{width}}" for cell in line) for line in [heading, *lines])
    return "\n".join(["true class by row, recognised class by column", *text])


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(
        prog="ddmlp evaluate",
        description="Test a model on a dataset: the confusion matrix, the error and the cross-entropy.",
    )
    parser.add_argument("--model", required=True, **MODELS)
    parser.add_argument("--data", type=Path, help="a dataset, or a folder with test/ (default: the test data of the "
                        "model's run; the folder data if it has no run)")  # fmt: skip
    return parser.parse_args(arguments)


def test_data(models: Sequence[Path], data: Path | None) -> Path:
    """The dataset or folder `data`, by default that of the models' runs. Raises RunError if they have no test data, or
    different ones."""
    found = {path.resolve(): path for path in (_test_data(each, data) for each in models)}
    if len(found) > 1:
        raise RunError(f"the models' runs have the data {' and '.join(map(str, sorted(found)))}; name one by --data")
    return found.popitem()[1]


def _test_data(model: Path, data: Path | None) -> Path:
    from ddmlp.api.converted_rows import dataset_folder
    from ddmlp.runs.run import Run

    run = Run(model if model.is_dir() else model.parent)
    own = data is None and run.exists
    if own:
        data = run.origin().data
    data = data or Path("data")
    if own and not ((path := dataset_folder(data)) / NAME).exists():
        raise RunError(f"{path}, the test data of {run.path}, does not exist; name a dataset by --data")
    return data


def main() -> None:
    args = parse()
    from ddmlp.api.converted_rows import dataset_folder
    from ddmlp.api.model import evaluate, load

    model = args.model[0] if len(args.model) == 1 else load(args.model)
    data = test_data(args.model, args.data)
    found = evaluate(model, data)
    print(table(found.confusion, Manifest.read(dataset_folder(data)).class_names))
    print(f"\nerror          {found.error:.2%} ({found.mistakes:,} of {found.rows:,} rows)")
    print(f"cross-entropy  {found.cross_entropy:.4f} nats a row")


if __name__ == "__main__":
    command(main)
