"""The record of the measurements, benchmarks.json: figures, and the environments in which they were measured."""

import platform
import re
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import msgspec

from ddmlp.errors import DataError
from ddmlp.files import write_whole
from ddmlp.runs.versions import versions
from ddmlp.transport.turns import CORES

NAME = "benchmarks.json"
Quantities = dict[str, list[float]]  # the repeats of each quantity; its name contains the unit
Environment = dict[str, str | int]  # the machine and the versions of packages


class Entry(msgspec.Struct, forbid_unknown_fields=True):
    """The figures of a benchmark, by case and baseline; None if the baseline was not installed."""

    environment: Environment
    repeats: int
    figures: dict[str, dict[str, Quantities | None]]

    def get(self, case: str, name: str, quantity: str = "rows/s") -> list[float] | None:
        """Return the repeats of a figure; None if it was not measured."""
        return (self.figures.get(case, {}).get(name) or {}).get(quantity)

    def ratio(self, case: str, name: str, other: str, quantity: str = "rows/s") -> list[float] | None:
        """Return the ratio of two figures for each repeat, so that a drift of the machine's speed cancels out."""
        one, two = self.get(case, name, quantity), self.get(case, other, quantity)
        return one and two and [a / b for a, b in zip(one, two, strict=True)]


class Record(msgspec.Struct, forbid_unknown_fields=True):
    """The entries, by the name of the benchmark."""

    benchmarks: dict[str, Entry] = {}

    @classmethod
    def read(cls, folder: Path) -> "Record":
        """Read the record in `folder`, empty if there is no file; raises DataError if the file is not a record."""
        path = folder / NAME
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls) if path.exists() else cls()
        except msgspec.MsgspecError as error:
            what = f"{path} is not a record of tools/bench.py ({error})"
            raise DataError(f"{what}; remove it, or choose another --out") from None

    def write(self, folder: Path) -> None:
        write_whole(folder / NAME, msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")


def environment() -> Environment:
    """Return the environment of this process."""
    system = f"{platform.system()} {platform.machine()}"
    found: Environment = {"processor": _cpuinfo("model name") or "unknown", "cores": CORES, "system": system}
    found |= {name: version for name, version in versions().items() if name not in found}
    for peer in ("torch", "scikit-learn"):
        with suppress(metadata.PackageNotFoundError):
            found[peer] = metadata.version(peer)
    return found


def instructions() -> str:
    """Return the widest vector instructions of this processor, avx512 or avx2; else its architecture."""
    flags = _cpuinfo("flags").split()
    return "avx512" if "avx512f" in flags else "avx2" if "avx2" in flags else platform.machine()


def _cpuinfo(name: str) -> str:
    """Return a value of the first processor in /proc/cpuinfo; empty on other systems than Linux."""
    with suppress(OSError):
        if found := re.search(rf"^{name}\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE):
            return found[1]
    return ""
