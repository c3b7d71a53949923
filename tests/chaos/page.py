"""The page docs/chaos.md: a summary, and a table of each part, which stands until the part is run again."""

import itertools
import re
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path

from ddmlp.files import write_whole
from tests.support.runs import Row

HEAD = "| what | when | workers | fired | as promised |\n| --- | --- | --- | --- | --- |"
PAGE = """# What `make chaos` has shown

Written by it. Runs of 54 steps, or of some minutes, on 4,000 real digits; real processes, real signals. "As promised":
the weights are those of an undisturbed run in one process, by their SHA-256; in the long runs, and in other modes, at
every checkpoint, by `python -m ddmlp.verify`, which replays an asynchronous run in the order of its updates. "Fired":
in how many of the runs the fault has really struck; for a cut between hosts, whether packets met it. What is promised
is in [guarantees.md](guarantees.md).

"Speed kept": the steps that count per second, from a fault to the next one 30 s later, divided by those in the phases
without faults between them, in one run. Steps that a restarted server repeats do not count. Such runs have two workers,
60,000 rows and the default settings, across hosts a batch of 1,024 rows; their last steps are computed again.

Runs on the stream of a broker: each of the 60,000 rows that were sent must be on disk once, in order, and the weights
must be those of a file with these rows. All kills of a broker, and of the processes of a run on its stream, are of one
run. In another one the network is cut, so that packets are lost silently.

{summary}

## Each moment

`make chaos PART=matrix` runs one of these parts again.
{tables}"""
TABLE = """
### {part}

On {origin}.

{table}
"""
FOUND = re.compile(r"^### (\w+)\n\nOn (.*)\.\n\n((?:\|.*\n)+)", re.MULTILINE)


class Page:
    """The rows of each part, and when and with which code it was run."""

    def __init__(self, path: Path, order: Sequence[str]) -> None:
        """Read the page, if there is one. order: of the parts."""
        self._path, self._order = path, order
        text = path.read_text() if path.exists() else ""
        self.parts = {
            part: (origin, [*map(parsed, table.splitlines()[2:])]) for part, origin, table in FOUND.findall(text)
        }

    def replace(self, part: str, rows: Sequence[Row]) -> None:
        """Write the page with new rows of a part."""
        self.parts[part] = code(), [*rows]
        write_whole(self._path, self.text.encode())

    @property
    def text(self) -> str:
        """What is written."""
        there = [(part, *self.parts[part]) for part in self._order if part in self.parts]
        tables = [
            TABLE.format(part=part, origin=origin, table="\n".join([HEAD, *map(line, rows)]))
            for part, origin, rows in there
        ]
        everything = [row for _, _, rows in there for row in rows]
        return PAGE.format(summary=summary(everything), tables="".join(tables))


def code() -> str:
    """The day, and the commit of this checkout if it is one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short=9", "HEAD"]
    with suppress(OSError, subprocess.CalledProcessError):
        found = subprocess.run(command, capture_output=True, text=True, check=True)
        return f"{date.today()}, commit {found.stdout.strip()}"
    return f"{date.today()}"


def line(row: Row) -> str:
    """A row as a line of a table."""
    *cells, fine = row
    return f"| {' | '.join(cells)} | {'yes' if fine else '**NO**'} |"


def parsed(text: str) -> Row:
    """The row that a line has."""
    *cells, fine = text.strip("| ").split(" | ")
    return Row(*cells, fine == "yes")


def summary(rows: Sequence[Row]) -> str:
    """A line for each fault; one that was tried at several moments says in how many runs it fired."""
    lines = ["| what | when | fired | as promised |", "| --- | --- | --- | --- |"]
    for what, same in itertools.groupby(rows, key=lambda row: row[0]):
        _, whens, workers, hits, fine = zip(*same, strict=True)
        if len(whens) == 1:
            when, fired_in = whens[0], hits[0]
        else:
            counts = [tuple(map(int, hit.split(" of "))) for hit in hits]
            when = f"{len(whens)} moments, with {workers[0]} workers"
            fired_in = f"{sum(hit for hit, _ in counts)} of {sum(runs for _, runs in counts)} runs"
        lines.append(f"| {what} | {when} | {fired_in} | {'yes' if all(fine) else '**NO**'} |")
    return "\n".join(lines)
