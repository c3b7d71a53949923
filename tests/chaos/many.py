"""One run that survives more than a thousand faults: the next one strikes as soon as the run has recovered."""

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ddmlp.cli.terminal import bar
from tests.chaos.command_run import CommandRun, training
from tests.chaos.strike import SERVER, WORKER, Signal
from tests.support.runs import Row, weights_of
from tools.benchmarks.enlarged_mnist import enlarge

ROWS, WORKERS = 60_000, 3
SETTINGS = ("--hidden", "20", "--batch", "150", "--microbatch", "32", "--epochs", "1000000")
CHECKPOINTS = ("--checkpoint-every", "500")
BRIEF = 0.5  # seconds
SIGNALS = {  # how often, of a hundred faults
    Signal("worker killed", WORKER, signal.SIGKILL): 44,
    Signal(f"worker stopped for {BRIEF:g} s", WORKER, signal.SIGSTOP, BRIEF): 18,
    Signal("worker stopped, until it is replaced", WORKER, signal.SIGSTOP): 6,
    Signal("server killed", SERVER, signal.SIGKILL): 20,
    Signal(f"server stopped for {BRIEF:g} s", SERVER, signal.SIGSTOP, BRIEF): 10,
}
ENDS = {signal.SIGTERM: ("command ended by SIGTERM, resumed", 130), signal.SIGKILL: ("command killed, resumed", -9)}
END = 1  # of a hundred, each: to start Ray takes longest
FURTHER = 100  # steps after the last fault


def many(data: Path, folder: Path, seed: int, faults: int) -> Iterator[Row]:
    """The run; then one process computes it without a fault."""
    folder.mkdir()
    run, alone = folder / "run", folder / "alone"
    given = ["--data", enlarge(data, ROWS, folder / "data"), *SETTINGS]
    began = time.monotonic()
    hits = struck(run, given, random.Random(seed), faults)
    minutes = (time.monotonic() - began) / 60
    end = json.loads((run / "chain.jsonl").read_text().splitlines()[-1])["step"] + FURTHER
    last = ["--stop-after", end, "--quiet", "--no-report"]
    for path, more in ((run, ["--resume", "--workers", WORKERS]), (alone, given)):
        command = [sys.executable, "-m", "ddmlp.train", "--run", path, *more, *last]
        subprocess.run([*map(str, command)], check=True, stdout=subprocess.DEVNULL)
    fine = weights_of(run) == weights_of(alone)
    yield Row(
        f"{faults:,} faults in one run",
        f"{end:,} steps in {minutes:.0f} minutes",
        str(WORKERS),
        f"{hits.total():,} times",
        fine,
    )
    for words, count in hits.most_common():
        yield Row(f"of these: {words}", "as soon as the run makes steps again", str(WORKERS), f"{count} times", fine)


def struck(path: Path, given: Sequence[object], chance: random.Random, faults: int) -> Counter[str]:
    """Train under faults; returns how often each has struck. The last one is SIGTERM."""
    hits: Counter[str] = Counter()
    words = given
    with bar("faults", "faults") as show:
        while hits.total() < faults:
            with training(path, [*words, "--workers", WORKERS, *CHECKPOINTS]) as run:
                end = struck_until_end(run, hits, chance, faults, show)
                what, status = ENDS[end]
                assert run.end(end) == status, run.errors()
                hits[what] += 1
            print(f"{hits.total()} faults", file=sys.stderr)
            words = ["--resume"]
    return hits


def struck_until_end(
    run: CommandRun, hits: Counter[str], chance: random.Random, faults: int, show: Callable[[int, int], None]
) -> int:
    """Strike a run until it is the command's turn; returns the signal for that."""
    strikes = [*SIGNALS, *ENDS]
    weights = [*SIGNALS.values(), *(END for _ in ENDS)]
    while True:
        run.mark()  # what it has recorded may have happened before the last fault
        run.mark()
        show(hits.total(), faults)
        if hits.total() == faults - 1:
            return signal.SIGTERM
        (strike,) = chance.choices(strikes, weights)
        if not isinstance(strike, Signal):
            return strike
        hits[strike.words] += strike.fire(chance)
