"""What was measured, chapter by chapter: benchmarks.json."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddmlp.errors import DataError
from ddmlp.files import write_whole
from tools.benchmarks.chapter import Found
from tools.benchmarks.conditions import Conditions

NAME = "benchmarks.json"


@dataclass(frozen=True)
class Entry:
    """A chapter's: what it found, under which conditions, with how many repeats."""

    conditions: Conditions
    repeats: int
    found: Found


def read(folder: Path) -> dict[str, Entry]:
    """The entries by the names of their chapters, none without a file; raises DataError where it is another's."""
    path = folder / NAME
    if not path.exists():
        return {}
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        return {name: Entry(**entry) for name, entry in found["chapters"].items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{path} is not what tools/bench.py wrote ({error!r}); remove it, or name another --out"
        ) from None


def write(folder: Path, entries: dict[str, Entry]) -> None:
    chapters = {name: vars(entry) for name, entry in entries.items()}
    write_whole(folder / NAME, json.dumps({"chapters": chapters}, indent=1) + "\n")
