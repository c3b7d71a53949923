"""The recipe of minutes: the test error that ddmlp, PyTorch and scikit-learn reach in a given time.

python -m tools.record.minutes data
"""

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import msgspec

from ddmlp.cli.terminal import Parser, command
from ddmlp.data import manifest
from ddmlp.errors import ConfigError, TrainingError
from ddmlp.files import write_whole
from tools.benchmarks.processes import start
from tools.benchmarks.record import Environment, environment
from tools.record.contestants import CONTESTANTS

NAME = "minutes.json"


class Cell(msgspec.Struct):
    """What a contestant reached: wall time in seconds, of all of its process; the fraction of mistakes; epochs."""

    contestant: str
    limit: float
    seconds: float
    error: float
    epochs: float


class Minutes(msgspec.Struct):
    """The measurement: its environment, the settings, and the cells."""

    environment: Environment
    hidden: int
    augment: str
    cells: list[Cell]

    @classmethod
    def read(cls, folder: Path) -> "Minutes | None":
        """Read the file in `folder`; None if there is none."""
        path = folder / NAME
        return msgspec.json.decode(path.read_bytes(), type=cls) if path.exists() else None

    def table(self) -> str:
        """A line for each contestant, and a column for each limit, as Markdown."""
        limits = sorted({cell.limit for cell in self.cells})
        rows = [["test error within", *(f"{limit:g} s" for limit in limits)], ["---"] * (1 + len(limits))]
        for name in dict.fromkeys(cell.contestant for cell in self.cells):
            found = {cell.limit: cell for cell in self.cells if cell.contestant == name}
            rows.append([name, *(shown(found[limit]) if limit in found else "" for limit in limits)])
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def shown(cell: Cell) -> str:
    """The error, and the time if that is over the limit."""
    return f"{100 * cell.error:.2f} %" + (f" in {cell.seconds:.1f} s" if cell.seconds > cell.limit else "")


def measure(name: str, data: Path, limit: float, hidden: int, augment: str) -> Cell:
    """Run a contestant in a new process; its time begins with that of the process. Raises TrainingError."""
    with tempfile.TemporaryDirectory() as scratch:
        began = time.time()
        process = start("-m", "tools.record.contestants", name, data, began + limit, scratch, hidden, augment)
        out, err = process.communicate()
        seconds = time.time() - began
    if process.returncode:
        raise TrainingError(f"{name}: {(err.strip().splitlines() or ['no error message'])[-1]}")
    return Cell(name, limit, seconds, **json.loads(out.splitlines()[-1]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; raises ConfigError for invalid flags, TrainingError if a contestant fails."""
    parser = Parser(description="Measure the test error that ddmlp and others reach in a given time; print a table, "
                    f"and write {NAME}, which the page of the record includes.")  # fmt: skip
    add = parser.add_argument
    add("data", type=Path, metavar="DATA", help="folder with train/ and test/")
    add("--seconds", type=float, nargs="+", default=[60.0, 300.0], metavar="S", help="limits (default: 60 300)")
    add("--hidden", type=int, default=800, help="hidden units of all networks (default: %(default)s)")
    add("--augment", default="elastic:alpha=30", help="how ddmlp distorts images (default: %(default)s)")
    add("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS), metavar="NAME",
        help=f"of {', '.join(CONTESTANTS)} (default: those whose package is installed)")  # fmt: skip
    add("--out", type=Path, default=Path("docs"), metavar="FOLDER", help=f"folder of {NAME} (default: %(default)s)")
    args = parser.parse_args(arguments)
    if not min(args.seconds) > 0:
        raise ConfigError(f"--seconds is {min(args.seconds):g}, expected more than 0")
    for part in ("train", "test"):
        if not (args.data / part / manifest.NAME).exists():
            raise ConfigError(f"{args.data} has no dataset {part}/; expected a folder written by tools/idx2arrow.py")
    args.out.mkdir(parents=True, exist_ok=True)
    found = Minutes(environment(), args.hidden, args.augment, [])
    for limit in args.seconds:
        for name in args.only:
            if find_spec(CONTESTANTS[name][0]):
                found.cells.append(measure(name, args.data.resolve(), limit, args.hidden, args.augment))
                print(f"{name}, {limit:g} s: {shown(found.cells[-1])}, {found.cells[-1].epochs:g} epochs",
                      file=sys.stderr, flush=True)  # fmt: skip
                text = msgspec.json.format(msgspec.json.encode(found), indent=1)
                write_whole(args.out / NAME, text + b"\n")  # after each, so that a later failure loses nothing
    print(found.table())


if __name__ == "__main__":
    command(main)
