"""The record of what was measured: benchmarks.json."""

from pathlib import Path

import msgspec

from ddmlp.errors import DataError
from ddmlp.files import write_whole
from tools.benchmarks.environment import Environment

NAME = "benchmarks.json"
Quantities = dict[str, list[float]]  # the repeats of each quantity, which is named with its unit


class Entry(msgspec.Struct, forbid_unknown_fields=True):
    """The figures of a benchmark, by case and baseline; None: the baseline was not installed."""

    environment: Environment
    repeats: int
    figures: dict[str, dict[str, Quantities | None]]

    def get(self, case: str, name: str, quantity: str) -> list[float] | None:
        """The repeats of a figure; None if it was not measured."""
        return (self.figures.get(case, {}).get(name) or {}).get(quantity)

    def ratio(self, case: str, name: str, other: str, quantity: str = "rows/s") -> list[float] | None:
        """One figure by another, repeat by repeat, so that a drift of the machine cancels."""
        one, two = self.get(case, name, quantity), self.get(case, other, quantity)
        return None if one is None or two is None else [a / b for a, b in zip(one, two, strict=True)]


class Record(msgspec.Struct, forbid_unknown_fields=True):
    """The entries by the names of their benchmarks."""

    benchmarks: dict[str, Entry] = {}

    @classmethod
    def read(cls, folder: Path) -> "Record":
        """The record in `folder`, empty if there is no file; raises DataError if the file is not a record."""
        path = folder / NAME
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls) if path.exists() else cls()
        except msgspec.MsgspecError as error:
            raise DataError(
                f"{path} is not what tools/bench.py wrote ({error}); remove it, or name another --out"
            ) from None

    def write(self, folder: Path) -> None:
        write_whole(folder / NAME, msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")
