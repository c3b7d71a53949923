"""The golden trainings: small ones whose weights have the same bits wherever they are computed.

    python -m tests.support.golden [--data FOLDER] [NAME...]

Trains those of `LOCAL` in this process and prints their hashes as lines of `GOLDEN`. Exit status: 0 if they are as
recorded, 1 if one differs.
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

# Name to dataset and flags of a training in one process. Together they have: whole vectors of hidden units, and
# parts of one; microbatches below, at and above a block of rows, and short ones at the end of a step and of an
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

GOLDEN = {
    "defaults": "97e7720c8dd44c67667c5b12c5eddfd91e2f75d04c09991cc709b827624a7c5b",
    "delay": "4fe8ec472ff15f3f4b2d82cd1206a4ba8872772b447ca5db5fd9aaec6d1526f5",
    "one-row": "a82a09643e0f88dd4ecbfa79598e7bae3f8508d4df197be7d4bd0883d0fcef2f",
    "small-parts": "8ee37370fcf01c0929757b763f21f55855ccce6807b52c97034bdd7a5b2d9252",
    "large-part": "a6554a66f4ed9337bc5fc58bd4ac133937a3856f2b0c2e94bd5f09baa1ee2a80",
    "one-hidden": "599f9b0d3ca88a0ecac995a35b6adb66a92738312baacb97c795ab1977451cce",
    "dense": "375dc82e1fdbaf1ae9c74dd482eee34875bbf27803a1cab1484945bc004442da",
    "odd": "bdfa13a820a871942d1c7880bf93727fb1f70d9517354632368a40b38215f0be",
    "workers": "3995f7f0d56d5623cdc18ee8b45d026be04f0f40b059ca1f38929d9f9fd035b9",
    "follow": "c58ff22e7a83694bf86f134aa17ff6e50349f93d63cf19cbb714babef6a8b03e",
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
    for name in differing:
        print(f"{name} differs: found {found[name]}, expected {GOLDEN.get(name)}", file=sys.stderr)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
