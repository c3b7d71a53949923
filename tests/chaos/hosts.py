"""Runs across hosts, by cluster/hosts.sh: links that delay and lose, networks that are cut, hosts that vanish."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.strike import KillOn
from tests.support.hosts import LONG, SETTINGS, Hosts, Training, hosts_up, training
from tests.support.runs import Row, weights_of

LINKS = ("--delay 5", "--delay 50", "--loss 1", "--rate 100", "--delay 5 --loss 1 --rate 100")
# Ray's head is on host 1, the driver and the server are on host 2, and workers are on hosts 3 and 4.
DRIVER, WORKERS = 2, "2"
PAIRS = {
    "server and driver from a worker": ("2", "3"),
    "server and driver from all": ("2", "all"),
    "Ray's head from a worker": ("1", "3"),
    "Ray's head from server and driver": ("1", "2"),
}
BRIEF = (3.0, 20.0)  # seconds
LASTING = 100.0  # seconds: by then Ray has given up the node, and ddmlp what it cannot reach
AT_A_TIME = 2  # trials, because they wait most of the time


def hosts(data: Path, folder: Path) -> Iterator[Row]:
    """All of it."""
    folder.mkdir()
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        trials = [pool.submit(brief_cuts, data, folder, what) for what in PAIRS]
        trials += [pool.submit(lasting_cut, data, folder, what, way) for what in PAIRS for way in range(3)]
        trials += [pool.submit(each, data, folder) for each in (links, relay_killed, worker_vanishes, driver_vanishes)]
        for trial in trials:
            yield from sorted(trial.result())


def links(data: Path, folder: Path) -> list[Row]:
    """Runs across slow and lossy links: the weights are those of one process."""
    command = [sys.executable, "-m", "ddmlp.train", "--data", data, *SETTINGS, "--epochs", "2", "--quiet"]
    subprocess.run([*command, "--run", folder / "alone"], check=True, stdout=subprocess.DEVNULL)
    rows = []
    with four_hosts(data, folder) as found:
        for number, link in enumerate(LINKS):
            found("link", "all", "all", *link.split())
            with training(found, DRIVER, data, folder / f"link-{number}", "--epochs", 2) as run:
                fine = run.ended() == 0 and weights_of(run.run) == weights_of(folder / "alone")
            rows.append(Row(f"links with {link.replace('--', '')}", "always", WORKERS, "1 of 1", fine))
    return rows


def brief_cuts(data: Path, folder: Path, what: str) -> list[Row]:
    """Cuts that are healed while the run trains."""
    rows = []
    with four_hosts(data, folder) as found:
        for way, seconds in [(way, seconds) for way in range(3) for seconds in BRIEF]:
            path = folder / f"{'-'.join(PAIRS[what])}-{way}-{seconds:g}"
            with training(found, DRIVER, data, path, *LONG) as run:
                run.wait_for("^epoch 2/")
                words, before = cut(found, what, way)
                time.sleep(seconds)  # the fault itself
                fired = dropped(found) > before
                found("heal")
                run.wait_for("^epoch ")
                run.wait_for("^epoch ")
                run.interrupt()
            rows.append(row(what, words, f"{seconds:g} s", run, fired))
    return rows


def lasting_cut(data: Path, folder: Path, what: str, way: int) -> list[Row]:
    """A cut that is never healed. The run continues without the other side, or ends with an error."""
    path = folder / f"{'-'.join(PAIRS[what])}-{way}-lasting"
    with four_hosts(data, folder) as found, training(found, DRIVER, data, path, *LONG) as run:
        run.wait_for("^epoch 2/")
        words, before = cut(found, what, way)
        end = time.monotonic() + LASTING
        while run.process.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
        seconds = LASTING + time.monotonic() - end
        if run.process.poll() is None:
            run.interrupt()
            outcome = "not healed: continues"
        else:
            assert run.ended() == 1
            outcome = f"not healed: after {seconds:.0f} s {run.errors().splitlines()[0]}"
        return [row(what, words, outcome, run, dropped(found) > before)]


def relay_killed(data: Path, folder: Path) -> list[Row]:
    """The relay of a host with two workers is killed; the driver and the server are on the other host."""
    with (
        hosts_up([data, folder, Path(sys.prefix)], number=2, cpus=2) as found,
        training(found, 1, data, folder / "relay", *LONG) as run,
    ):
        strike = KillOn("relay killed", found, 2, b"ray::RelayActor")
        run.wait_for("^epoch 2/")
        while not strike.fire(random.Random(0)):  # it is started with its workers
            run.wait_for("^epoch ")
        run.wait_for("^epoch ")
        run.wait_for("^epoch ")
        run.interrupt()
    return [row("the relay of two workers", "killed", "mid-epoch", run, True)]


def worker_vanishes(data: Path, folder: Path) -> list[Row]:
    """The host of a worker loses power; then another joins."""
    with four_hosts(data, folder) as found, training(found, DRIVER, data, folder / "vanished", *LONG) as run:
        run.wait_for("^epoch 2/")
        found("kill", 3)
        run.wait_for("^worker .*host3")
        run.wait_for("^epoch ")
        found("join")
        run.wait_for("a worker has joined")
        run.wait_for("^epoch ")
        run.interrupt()
        return [row("the host of a worker", "vanishes", "another joins", run, dropped(found) > 0)]


def driver_vanishes(data: Path, folder: Path) -> list[Row]:
    """The host of the driver loses power. Its workers end, and the run is continued on another host."""
    path, pgrep = folder / "lost", ["pgrep", "-f", "ray::WorkerActor"]
    with four_hosts(data, folder) as found:
        with training(found, DRIVER, data, path, *LONG) as run:
            run.wait_for("^epoch 2/")
            found("kill", DRIVER)
            began = time.monotonic()
            while found.on(3, pgrep, stdout=subprocess.DEVNULL).wait() == 0:
                time.sleep(0.1)
            seconds = time.monotonic() - began
        fired = dropped(found) > 0
        with training(found, 1, data, path, *LONG, "--resume") as run:
            run.wait_for("^epoch ")
            run.interrupt()
        when = f"its workers end after {seconds:.0f} s, --resume on another"
        return [row("the host of the driver", "vanishes", when, run, fired)]


@contextmanager
def four_hosts(data: Path, folder: Path) -> Iterator[Hosts]:
    """Hosts as above."""
    with hosts_up([data, folder, Path(sys.prefix)], number=2, cpus=0) as found:
        found("join")
        found("join")
        yield found


def cut(found: Hosts, what: str, way: int) -> tuple[str, int]:
    """Cut both ways (0), or one; return which in words, and the number of packets dropped before."""
    before, (one, other) = dropped(found), PAIRS[what]
    words = (["cut", one, other], ["cut", one, other, "--one-way"], ["cut", other, one, "--one-way"])[way]
    found(*words)
    return ("cut both ways", "cut one way, to the latter", "cut one way, to the former")[way], before


def dropped(found: Hosts) -> int:
    """The number of packets that met a cut."""
    return sum(int(each["dropped"]) for each in found.links().values())


def row(what: str, words: str, when: str, run: Training, fired: bool) -> Row:
    """The outcome of a trial; the run is computed again."""
    again = [sys.executable, "-m", "ddmlp.verify", run.run]
    fine = subprocess.run(again, stdout=subprocess.DEVNULL, env=os.environ).returncode == 0
    return Row(f"{what} {words}", when, WORKERS, f"{int(fired)} of 1", fired and fine)
