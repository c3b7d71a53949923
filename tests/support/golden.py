"""Golden runs: small runs whose weights must have the same bits on every machine.

    python -m tests.support.golden [--data FOLDER] [NAME...]

Makes the runs of `LOCAL` in this process, and prints their hashes as lines of `GOLDEN`. The exit status is 0 if all are
as recorded, else 1.
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

# The dataset and flags of each run in one process. Together they cover: whole and partial vectors of hidden units;
# microbatches smaller than, equal to and larger than a block of rows, and short ones at the end of a step and of an
# epoch; sparse, dense and zero rows. The runs are small, because emulation is about a hundred times slower.
LOCAL = {
    "defaults": ("sample", ["--stop-after", "200"]),
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
    "rounded": (
        "sample",
        ["--batch", "200", "--microbatch", "50", "--hidden", "70", "--epochs", "1", "--gradient-bits", "6"],
    ),
    "exponential": (
        "sample",
        [
            *["--batch", "200", "--microbatch", "50", "--hidden", "16", "--epochs", "2"],
            *["--lr-schedule", "exponential", "--lr-end", "0.02"],
        ],
    ),
    "distorted": (
        "sample",
        [
            *["--batch", "200", "--microbatch", "50", "--hidden", "20", "--epochs", "2", "--stop-after", "30"],
            *["--augment", "elastic:alpha=36,sigma=4.5,rotation=10,scale=0.1,shear=0.1,pixels=1"],
        ],
    ),
    "workers": ("sample", ["--batch", "96", "--microbatch", "16", "--hidden", "30", "--epochs", "2"]),  # with 3, too
    "follow": ("stream", ["--follow", "--batch", "150", "--microbatch", "32", "--hidden", "20"]),
}

GOLDEN = {
    "defaults": "4ec373ef6add5d8ef9356c8e8f6042dfbd28cf4bfde92f4b8c138f2172b76b5e",
    "delay": "0c905fccdadcfdc9b3b92bc4e3a5241e0d772f0d35072c0513e7a3dad9c5a1b7",
    "one-row": "c0888978a466a14ba0d7be77b6b6d43a495c85de40e95d3f774acbdbc9b37498",
    "small-parts": "78ca32ad86e93dc0dc884009b685c8147d691eee7ba7fe24afe730ac4ef74ae8",
    "large-part": "8c87c207664fe09ba3e7b35ba707487a6a1e44cd1791824c2265189506e6d50a",
    "one-hidden": "09df42d67465f18c51122c23a349198b7eeac54fe38c9aa3a8be05c860e35f15",
    "dense": "15e64409e489f43df622873160367b86d9250ccbed19c0e8699d444cf6c7fd8e",
    "odd": "60334e813fc56329f9b168cb99fafca5b78375ea4928cf7c54b97ab7c2c7a25e",
    "rounded": "f99b3fba491d0698e95d11d4eb11dec37ccdf1407082b9b803bb137fab0c9e94",
    "exponential": "6ffea6f8c55721ee97d6c719f4083d0062d17cf61689330566669fcc597a586d",
    "distorted": "e811149c3607f3806c284770ddb2db0bdd1795074a705b66451b9c13529222c6",
    "workers": "f6185c8bd1b83812f6eabec4aef1f6e2efa9cb7989697fa672dad9d66a0df38c",
    "follow": "8a1898f120638f0b6173e5b45850515ee55fe9a506c45d966557f8f4f2e746c3",
}


def make_data(folder: Path) -> None:
    """Write the datasets.

    `sample` is the sample of `make train`. `dense` has images of 2 x 300 pixels in 3 classes, with few zeros except in
    some rows. `stream` has several shards, and is marked as complete.
    """
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
    """Write a dataset."""
    with DatasetWriter(path, images.shape[1:], classes, shard_rows=shard_rows) as writer:
        writer.append(images, labels)
        if end:
            writer.end()


def weights_of(name: str, data: Path) -> str:
    """Make a run of `LOCAL` with the command, on the data of `make_data`; return the SHA-256 of its weights."""
    dataset, flags = LOCAL[name]
    with TemporaryDirectory() as folder:
        run = Path(folder, "run")
        with redirect_stdout(io.StringIO()):
            train.main(["--quiet", "--no-report", "--data", str(data / dataset), "--run", str(run), *flags])
        return str(json.loads((run / "result.json").read_bytes())["weights_sha256"])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.golden", description="Make the golden runs.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(LOCAL)} (default: all)")
    parser.add_argument("--data", type=Path, help="folder for the datasets (default: a temporary one)")
    args = parser.parse_args(arguments)
    if unknown := set(args.names) - set(LOCAL):
        parser.error(f"found {', '.join(sorted(unknown))}, expected names from {', '.join(LOCAL)}")
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
