"""The golden trainings: small ones whose weights have the same bits wherever they are computed.

    python -m tests.support.golden [--data FOLDER] [NAME...]

Trains those of `LOCAL` in this process and prints their hashes as lines of `GOLDEN`. Exit status: 0 if they are as
recorded, 1 if one differs, 3 if they cannot be compared.
"""

import argparse
import io
import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ddmlp.cli import train
from ddmlp.data.writer import DatasetWriter
from ddmlp.numerics import arithmetic_fingerprint

# Name to dataset and flags of a training in one process. Together they have: blocks of 64 and of 16 hidden units, and
# what is left of them; microbatches below, at and above 64 and 512 rows, and short ones at the end of a step and of an
# epoch; sparse rows, dense ones, and some of zeros only. Small, because emulation is some hundred times slower.
LOCAL = {
    "defaults": ("sample", ["--stop-after", "20"]),
    "delay": ("sample", ["--delay", "1", "--batch", "200", "--microbatch", "100", "--hidden", "32", "--epochs", "1"]),
    "one-row": ("sample", ["--batch", "1", "--hidden", "16", "--lr", "0.1", "--stop-after", "500"]),
    "small-parts": ("sample", ["--batch", "250", "--microbatch", "7", "--hidden", "20", "--epochs", "1"]),
    "large-part": ("sample", ["--batch", "1024", "--microbatch", "1024", "--hidden", "17", "--epochs", "1"]),
    "one-hidden": ("sample", ["--hidden", "1", "--epochs", "1"]),
    "dense": ("dense", ["--batch", "1100", "--microbatch", "600", "--hidden", "83", "--epochs", "1"]),
    "odd": (
        "sample",
        [
            *["--batch", "150", "--microbatch", "32", "--hidden", "20", "--epochs", "2", "--seed", "7"],
            *["--lr-schedule", "inverse", "--lr-half", "50"],
        ],
    ),
    "workers": ("sample", ["--batch", "96", "--microbatch", "16", "--hidden", "30", "--epochs", "2"]),  # with 3, too
    "follow": ("stream", ["--follow", "--batch", "150", "--microbatch", "32", "--hidden", "20"]),
}

# The arithmetic with which GOLDEN was recorded: AVX-512, OpenBLAS 0.3.31, NumPy 2.4.
ARITHMETIC = "56e5d2dc72e7033414eafed4f1c4dc0f033c8400777a4aba6890409e1d9bb7ef"
GOLDEN = {
    "defaults": "5e7c303922a349663f6ee0cbbbbc7801343d6408815141a909e39843ae47e1f2",
    "delay": "4be45c26ca87090b04de90ba4daa49df53ec197001c86b0b7b13625d8fc52d7f",
    "one-row": "976ee10048deb5a6c192760bc8eaa66dfaffce14a5aa14f4f16fe66aba4d2767",
    "small-parts": "6fbc4b47b60de3c4baf93f5018e133c9a1bbf9efc6551ce84d0871e529c55450",
    "large-part": "1f2f8f02a233eb2de8f4040be17ce108fdc22d4af7488ca5c3a18340412fb2ec",
    "one-hidden": "da3ec17597b808f443751a7afa8dc1541ebe0955977af3dfe64cf7f40560e0e8",
    "dense": "c1e7c0d23f3b254197b53683619eef957f8406c059214321bda0c9cd04450912",
    "odd": "86fb3cf7c289eb1455d2e1a9162420eedf3747a0d3f0a75bdb84e4944a28df49",
    "workers": "12eea02137429db123cac57e8775a6afd2cbce43a8dc05644c6eaefd4f431f3d",
    "follow": "94669b338563b8482ae60380db992ed206c1fecf6731e32a7abbace433fc29e6",
}


def make_data(folder: Path) -> None:
    """Write the datasets: `sample`, the digits as `make train` has them without a download; `dense`, images of 2 x 300
    in 3 classes with few zeros, but for some rows; and `stream`, of several shards, whose end is marked."""
    from tools.sample_mnist import load_digits, split

    images, labels = load_digits()
    for part, rows in zip(("train", "test"), split(labels), strict=True):
        write(folder / "sample" / part, images[rows], labels[rows], classes=10)
        few = rows[:1200]
        dense = 255 - images[few].reshape(-1, 784)[:, :600].reshape(-1, 2, 300)
        dense[::50], dense[25::50] = 0, 255
        write(folder / "dense" / part, dense, labels[few] % 3, classes=3)
    rows = split(labels)[0]
    write(folder / "stream" / "train", images[rows], labels[rows], classes=10, shard_rows=700, end=True)


def write(
    path: Path, images: np.ndarray, labels: np.ndarray, *, classes: int, shard_rows: int = 10_000, end: bool = False
) -> None:
    """Write a dataset of these rows."""
    with DatasetWriter(path, images.shape[1:], classes, shard_rows=shard_rows) as writer:
        writer.append(images, labels)
        if end:
            writer.end()


def weights_of(name: str, data: Path) -> str:
    """Train one of `LOCAL` as the command does; returns the SHA-256 of its weights. data: what `make_data` wrote."""
    dataset, flags = LOCAL[name]
    with TemporaryDirectory() as folder:
        run = Path(folder, "run")
        with redirect_stdout(io.StringIO()):
            train.main(["--quiet", "--no-report", "--data", str(data / dataset), "--run", str(run), *flags])
        return str(json.loads((run / "result.json").read_bytes())["weights_sha256"])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.golden", description="Train the golden trainings.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(LOCAL)} (default: all)")
    parser.add_argument(
        "--data", type=Path, help="folder of the datasets; made if it is not there (default: none kept)"
    )
    args = parser.parse_args(arguments)
    if unknown := set(args.names) - set(LOCAL):
        parser.error(f"found {', '.join(sorted(unknown))}, expected names of {', '.join(LOCAL)}")
    with TemporaryDirectory() as folder:
        data = args.data or Path(folder)
        if not (data / "stream").exists():
            make_data(data)
        found = {}
        for name in args.names or LOCAL:
            found[name] = weights_of(name, data)
            print(f'    "{name}": "{found[name]}",', flush=True)
    differing = [name for name in found if found[name] != GOLDEN.get(name)]
    if differing and arithmetic_fingerprint() != ARITHMETIC:
        print(f"recorded with the arithmetic {ARITHMETIC[:16]}, not with {arithmetic_fingerprint()[:16]}",
              file=sys.stderr)  # fmt: skip
        return 3
    for name in differing:
        print(f"{name} differs: found {found[name]}, expected {GOLDEN.get(name)}", file=sys.stderr)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
