"""Goodput: the share of its undisturbed speed that a run keeps if a fault strikes it every 30 s.

Only steps that count are counted: those that a restarted server repeats are not. Phases without faults are interleaved.
"""

import json
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ddmlp.runs.checkpoint import KEEP
from tests.chaos.command_run import CommandRun, training
from tests.chaos.strike import SERVER, WORKER, Cut, Signal, Strike, running
from tests.support.hosts import Hosts, hosts_up
from tests.support.runs import Row, verified
from tools.benchmarks.enlarged_mnist import enlarge

PERIOD, UNDISTURBED, ROUNDS = 30.0, 10.0, 3  # seconds; and how often each fault strikes
BARS = {"of workers": 0.95, "of workers and server": 0.85}
ROWS, WORKERS = 60_000, 2
LONG = ("--epochs", "1000000")  # until it is asked to stop
FAR = ("--batch", "1024")  # workers on other hosts need more work a step; all other settings are the defaults
WARM_EVENTS = 10
BRIEF = 3.0  # seconds
SIGNALS = [
    Signal("worker killed", WORKER, signal.SIGKILL),
    Signal(f"worker stopped for {BRIEF:g} s", WORKER, signal.SIGSTOP, BRIEF),
    Signal("worker stopped, for it to be replaced", WORKER, signal.SIGSTOP),
    Signal("server killed", SERVER, signal.SIGKILL),
    Signal(f"server stopped for {BRIEF:g} s", SERVER, signal.SIGSTOP, BRIEF),
    Signal("server stopped, for it to be replaced", SERVER, signal.SIGSTOP),
]


class Phase(NamedTuple):
    """A part of a run: the fault that it began with, if any, the steps that it added, and how long it took.

    fired: whether the fault had an effect, and all processes of the run were there again at the end.
    """

    strike: Strike | None
    steps: int
    seconds: float
    fired: bool


class Kept(NamedTuple):
    """What a fault has left of the speed. undisturbed: seconds in which an undisturbed run makes as many steps."""

    strike: Strike
    undisturbed: float
    seconds: float
    fired: int
    fine: bool


def goodput(data: Path, folder: Path, seed: int) -> Iterator[Row]:
    """Faults on this machine, and between hosts, of runs at the default settings but for FAR."""
    folder.mkdir()
    large, chance = enlarge(data, ROWS, folder / "data"), random.Random(seed)
    found = here(large, folder / "here", chance)
    with hosts_up([data, folder, Path(sys.prefix)], number=1 + WORKERS) as hosts:
        found += across_hosts(hosts, large, folder / "hosts", chance)
    for each in found:
        lost = (each.seconds - each.undisturbed) / ROUNDS
        when = f"{each.undisturbed / each.seconds:.1%} of the speed kept: {lost:.1f} s lost each time"
        fired = f"{each.fired} of {ROUNDS}"
        yield Row(
            f"a fault every {PERIOD:g} s: {each.strike.words}",
            when,
            str(WORKERS),
            fired,
            each.fine and each.fired == ROUNDS,
        )
    for words, bar in BARS.items():
        some = [each for each in found if "server" in words or not each.strike.server]
        share = sum(each.undisturbed for each in some) / sum(each.seconds for each in some)
        fired = f"{sum(each.fired for each in some)} of {ROUNDS * len(some)}"
        when = f"{share:.1%} of the speed kept, expected at least {bar:.0%}"
        yield Row(f"a fault every {PERIOD:g} s: all of these {words}", when, str(WORKERS), fired, share >= bar)


def here(data: Path, path: Path, chance: random.Random) -> list[Kept]:
    """Signals to the processes of a run on this machine."""
    with training(path, ["--data", data, "--workers", WORKERS, *LONG]) as run:
        return measured(run, SIGNALS, chance, lambda: (len(running(WORKER)), len(running(SERVER))) == (WORKERS, 1))


def across_hosts(hosts: Hosts, data: Path, path: Path, chance: random.Random) -> list[Kept]:
    """Cuts between the host of driver and server, and the host of one of the workers."""
    with training(path, ["--data", data, "--workers", WORKERS, *LONG, *FAR], hosts) as run:
        return measured(run, [Cut(f"worker cut off for {BRIEF:g} s", hosts, 1, 2, BRIEF)], chance)


def measured(
    run: CommandRun, strikes: Sequence[Strike], chance: random.Random, whole: Callable[[], bool] = lambda: True
) -> list[Kept]:
    """Alternate between phases without and with faults, in random order; then end the run, and compute its last steps
    again. whole: whether all processes of the run are there."""
    phases: list[Phase] = []
    for _ in range(WARM_EVENTS):
        mark = run.mark()
    for _ in range(ROUNDS):
        for strike in [None, *chance.sample(strikes, len(strikes))]:
            began, first = mark
            fired = strike is None or strike.fire(chance)
            time.sleep(max(0.0, began + (PERIOD if strike else UNDISTURBED) - time.monotonic()))  # the measurement
            now, step = mark = run.mark()
            phases.append(Phase(strike, step - first, now - began, fired and whole()))
            print(phases[-1], file=sys.stderr)
    assert run.end() == 130, run.errors()
    steps = [json.loads(line)["step"] for line in (run.run / "chain.jsonl").read_text().splitlines()]
    fine = verified(run.run, "--steps", f"{steps[-KEEP:][0]}..{steps[-1]}")
    calm = [each for each in phases if each.strike is None]
    speed = sum(each.steps for each in calm) / sum(each.seconds for each in calm)
    found = []
    for strike in strikes:
        _, steps, seconds, fired = zip(*(each for each in phases if each.strike is strike), strict=True)
        found.append(Kept(strike, sum(steps) / speed, sum(seconds), sum(fired), fine))
    return found
