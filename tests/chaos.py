"""Everything that can die, at every moment that matters: python -m tests.chaos [matrix] [server] [soak]

Prints tables in Markdown; exits with 1 where weights differ from those of an undisturbed run, or a fault did not fire.
"""

import argparse
import itertools
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

from ddmlp import verify
from ddmlp.cluster import Cluster, connect
from ddmlp.config import TrainConfig
from ddmlp.convert import convert, find_pairs
from ddmlp.dataset import Dataset
from ddmlp.job import Job
from ddmlp.local import local_trainer
from ddmlp.remote import RemoteTrainer
from ddmlp.run import Origin, Run
from ddmlp.terminal import bar
from tests.faults import ANY, Fault, faulty, fired
from tests.helpers import inside
from tests.processes import ACTORS, actors, own_bytes, seconds_old
from tools import sample_mnist

# Nothing divides evenly: 27 steps an epoch, the last of 100 rows; microbatches of 32, the last ones of 22 and 4.
CONFIG = TrainConfig(hidden=20, batch=150, microbatch=32, epochs=2)
STEPS = {0: "first step", 13: "mid-epoch", 26: "last of an epoch", 27: "first of an epoch", 53: "last step"}
POSITIONS = {0: "at the beginning", 20: "mid-epoch", 27: "end of an epoch", 54: "at the end"}
FAULTS = [  # kind, victim, moment, in words, at which steps
    ("kill", "worker", "taken", "a unit taken", STEPS),
    ("kill", "worker", "computed", "a unit computed", STEPS),
    ("kill", "worker", "answered", "a unit answered", STEPS),
    ("kill", "every worker", "taken", "a unit taken", STEPS),
    ("stop", "worker", "taken", "a unit taken", STEPS),
    ("kill", "server", "begun", "the step begun", STEPS),
    ("kill", "server", "half", "the step half applied", STEPS),
    ("kill", "server", "applied", "the step applied", STEPS),
    ("kill", "server", "linked", "a checkpoint on the chain only", POSITIONS),
    ("kill", "server", "torn", "a checkpoint half written", POSITIONS),
    ("kill", "server", "saved", "a checkpoint written", POSITIONS),
]
WORKERS = (1, 2, 3, 4)
SERVER_KILLS = 20
SOAK_WORKERS, SOAK_PAUSES = 3, (2.0, 8.0)  # seconds between two kills
SETTLED = 5.0  # seconds after which a process has taken the memory that it needs
FLAT = 1.05  # times the memory of before that is still flat

HEAD = "| what | when | workers | fired | as promised |\n| --- | --- | --- | --- | --- |"
PAGE = """# What `make chaos` has shown

Written by it. Runs of 54 steps, or of some minutes, on 4,000 real digits; real processes, real signals. "As promised":
the weights are those of an undisturbed run in one process, by their SHA-256; in the long runs at every checkpoint, by
`python -m ddmlp.verify`. "Fired": in how many of the runs the fault has really struck. What is promised is in
[guarantees.md](guarantees.md).

{summary}

## Each moment

{table}
"""

Row = tuple[str, str, str, str, bool]  # what, when, how many workers, how often, whether the weights are the same


def job(data: Path, run: Path, workers: int, config: TrainConfig = CONFIG, every: int = 10) -> Job:
    run.mkdir(parents=True, exist_ok=True)
    return Job(config, data, run, workers, checkpoint_every=every)


def train(trainer: Any, path: Path, until: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    """Train to the end; or leave a checkpoint once `until` says so: then there is no result."""
    run = Run(path)
    try:
        while True:
            report = trainer.advance(0.2)
            run.record(report.events)
            if report.result is not None:
                found: dict[str, Any] = report.result
                return found
            if until():
                trainer.checkpoint()
                return {}
    finally:
        trainer.close()


def matrix(cluster: Cluster, data: Path, folder: Path) -> Iterator[Row]:
    """One fault a run: each kind, at each moment, for each number of workers."""
    expected = train(local_trainer(job(data, folder / "alone", 0)), folder / "alone")["weights_sha256"]
    total, done = sum(len(steps) for *_, steps in FAULTS) * len(WORKERS), itertools.count(1)
    with bar("one fault a run", "runs") as show:
        for kind, victim, moment, words, steps in FAULTS:
            for step, when in steps.items():
                hits, same = 0, True
                for workers in WORKERS:
                    victims = {"server": [None], "worker": [ANY], "every worker": range(workers)}[victim]
                    faults = [Fault(kind, number, step, moment) for number in victims]
                    path = folder / f"{workers}-{victim}-{faults[0].mark}"
                    marks = path.with_suffix(".marks")
                    marks.mkdir()
                    found = train(faulty(faults, marks)(job(data, path, workers), cluster), path)
                    hits += all(fired(marks, fault) for fault in faults)
                    same &= found["weights_sha256"] == expected
                    show(next(done), total)
                what = f"{victim} {'killed' if kind == 'kill' else 'stopped'}, {words}"
                everywhere = hits == len(WORKERS)
                yield what, when, "1, 2, 3, 4", f"{hits} of {len(WORKERS)}", same and everywhere


class Killer(threading.Thread):
    """Kills a process of the run at random moments, and keeps count."""

    def __init__(self, titles: Sequence[bytes], pauses: tuple[float, float], most: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.killed: list[bytes] = []
        self._titles, self._pauses, self._most = titles, pauses, most
        self._random, self._over = random.Random(seed), threading.Event()

    def run(self) -> None:
        while len(self.killed) < self._most and not self._over.wait(self._random.uniform(*self._pauses)):
            title = self._random.choice(self._titles)
            if found := actors(title):
                os.kill(self._random.choice(found), signal.SIGKILL)
                self.killed.append(title)

    @property
    def finished(self) -> bool:
        return not self.is_alive()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        self.start()
        try:
            yield
        finally:
            self._over.set()
            self.join()


def server(cluster: Cluster, data: Path, folder: Path, seed: int) -> Iterator[Row]:
    """Many deaths of the server in one run, at random moments."""
    path = folder / "server"
    config = replace(CONFIG, hidden=50, epochs=10_000)
    begin(path, config, data)
    killer = Killer([ACTORS[0]], (0.2, 3.0), SERVER_KILLS, seed)
    with killer.at_work():
        train(RemoteTrainer(job(data, path, 2, config), cluster), path, until=lambda: killer.finished)
    # It goes on to the end of an epoch without being disturbed, and then the whole of it is computed again.
    yield "server killed", "at random moments of one run", "2", f"{len(killer.killed)} times", verified(path)


def soak(cluster: Cluster, data: Path, folder: Path, seconds: float, seed: int) -> Iterator[Row]:
    """Training under random kills of workers and server, with an eye on everyone's memory."""
    path = folder / "soak"
    config = TrainConfig(hidden=100, epochs=1_000_000)
    begin(path, config, data)
    began = time.monotonic()
    memory: dict[str, list[tuple[float, int]]] = {"driver": [], "server": [], "worker": []}

    def watch() -> bool:
        now = time.monotonic() - began
        memory["driver"].append((now, own_bytes(os.getpid())))
        for title, who in zip(ACTORS, ("server", "worker"), strict=True):
            for process in actors(title):
                if seconds_old(process) > SETTLED:
                    memory[who].append((now, own_bytes(process)))
        return now > seconds

    killer = Killer(ACTORS, SOAK_PAUSES, 1_000_000, seed)
    with killer.at_work():
        train(RemoteTrainer(job(data, path, SOAK_WORKERS, config, every=200), cluster), path, until=watch)
    for who, found in memory.items():
        early = [size for now, size in found if seconds / 10 < now < seconds / 2 and size]
        late = [size for now, size in found if now > seconds / 2 and size]
        ratio = statistics.median(late) / statistics.median(early)
        yield (
            f"memory of the {who} stays flat",
            "second half of the soak to its first",
            str(SOAK_WORKERS),
            f"{ratio:.3f}",
            ratio < FLAT,
        )
    kills = f"{killer.killed.count(ACTORS[1])} workers, {killer.killed.count(ACTORS[0])} servers"
    yield (
        f"killed for {seconds / 60:g} minutes",
        "at random moments of one run",
        str(SOAK_WORKERS),
        kills,
        verified(path),
    )


def begin(path: Path, config: TrainConfig, data: Path) -> None:
    path.mkdir()
    Run(path).create(Origin(config, data, Dataset(data / "train").manifest.sha256()))


def verified(path: Path) -> bool:
    """Whether one process comes to the same weights at every checkpoint."""
    done = inside(verify.main, path)
    print(done.stdout or done.stderr, file=sys.stderr)
    return done.returncode == 0


def line(row: Row) -> str:
    *cells, fine = row
    return f"| {' | '.join(cells)} | {'yes' if fine else '**NO**'} |"


def summary(rows: Sequence[Row]) -> str:
    """A line for each fault; one that was tried at several moments says in how many runs it fired."""
    lines = ["| what | when | fired | as promised |", "| --- | --- | --- | --- |"]
    for what, same in itertools.groupby(rows, key=lambda row: row[0]):
        _, whens, _, hits, fine = zip(*same, strict=True)
        if len(whens) == 1:
            when, fired_in = whens[0], hits[0]
        else:
            counts = [tuple(map(int, hit.split(" of "))) for hit in hits]
            when = f"{len(whens)} moments, with 1, 2, 3 and 4 workers"
            fired_in = f"{sum(hit for hit, _ in counts)} of {sum(runs for _, runs in counts)} runs"
        lines.append(f"| {what} | {when} | {fired_in} | {'yes' if all(fine) else '**NO**'} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="matrix|server|soak", help="what to do (default: all)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write a page with the tables, too")
    parser.add_argument("--minutes", type=float, default=10.0, help="of the soak (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (default: %(default)s)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with redirect_stdout(sys.stderr):
            sample_mnist.main([str(folder / "sample")])
        train_pair, test_pair = find_pairs(folder / "sample")
        data = folder / "data"
        convert({data / "train": train_pair, data / "test": test_pair}, shard_rows=1_500)
        cluster = connect("local")
        parts: dict[str, Callable[[], Iterable[Row]]] = {
            "matrix": lambda: matrix(cluster, data, folder),
            "server": lambda: server(cluster, data, folder, args.seed),
            "soak": lambda: soak(cluster, data, folder, args.minutes * 60, args.seed),
        }
        rows: list[Row] = []
        print(HEAD)
        try:
            for part in args.parts or parts:
                for row in parts[part]():
                    print(line(row), flush=True)
                    rows.append(row)
        finally:
            cluster.leave()
    print(f"\n{summary(rows)}")
    if args.out:
        args.out.write_text(PAGE.format(summary=summary(rows), table="\n".join([HEAD, *map(line, rows)])))
    return 0 if all(fine for *_, fine in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
