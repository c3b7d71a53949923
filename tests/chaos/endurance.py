"""Long runs: killed at random moments, or with a worker that lags, and the memory of all processes is watched."""

import math
import os
import random
import signal
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ddmlp.config import TrainConfig
from ddmlp.ray_backend.cluster import Cluster
from ddmlp.ray_backend.trainer import RayTrainer
from tests.support.faults import ANY, Fault, faulty_on_ray, fired
from tests.support.processes import SERVER, WORKER, actors, own_bytes, seconds_old
from tests.support.runs import CONFIG, Row, begin, job, train, verified

SERVER_KILLS = 20
SOAK_WORKERS, SOAK_PAUSES = 3, (2.0, 8.0)  # seconds between two kills
SETTLED = 5.0  # seconds after which a process has taken the memory that it needs
FLAT = 1.05  # times the memory of before that is still flat
LAG = 0.1  # seconds that the slow worker takes longer for a unit, which takes the others less than 1 ms
LAG_MODES = {"": {}, ", --staleness inf": {"staleness": "inf"}}


class Memory:
    """The memory of the processes of a run, and of Ray's object store, over time."""

    def __init__(self, cluster: Cluster) -> None:
        self._ray, self._began = cluster.ray, time.monotonic()
        self._found: dict[str, list[tuple[float, int]]] = {
            who: [] for who in ("driver", "server", "worker", "object store")
        }

    def look(self) -> float:
        """Note how much it is; returns the seconds since the beginning."""
        now = time.monotonic() - self._began
        self._found["driver"].append((now, own_bytes(os.getpid())))
        for title, who in ((SERVER, "server"), (WORKER, "worker")):
            self._found[who] += [(now, own_bytes(each)) for each in actors(title) if seconds_old(each) > SETTLED]
        name = "object_store_memory"
        used = self._ray.cluster_resources()[name] - self._ray.available_resources().get(name, 0)
        self._found["object store"].append((now, int(used)))
        return now

    def rows(self, what: str, seconds: float) -> Iterator[Row]:
        """Whether the second half was as the first, after a tenth to warm up. It was not if no process was seen."""
        for who, found in self._found.items():
            early = [size + 1 for now, size in found if seconds / 10 < now < seconds / 2]
            late = [size + 1 for now, size in found if now > seconds / 2]
            ratio = statistics.median(late) / statistics.median(early) if early and late else math.nan
            when = f"{what}: second half to first"
            yield Row(f"memory of the {who} stays flat", when, str(SOAK_WORKERS), f"{ratio:.3f}", ratio < FLAT)


def lag(cluster: Cluster, data: Path, folder: Path, seconds: float) -> Iterator[Row]:
    """Training with one worker that is at least 100 times slower than the others."""
    for number, (words, mode) in enumerate(LAG_MODES.items()):
        path, marks = folder / f"lag-{number}", folder / f"lag-{number}.marks"
        marks.mkdir()
        config = TrainConfig(hidden=100, epochs=1_000_000, **mode)
        begin(path, config, data)
        slow = Fault("slow", ANY, 2, "taken", seconds=LAG)
        trainer = faulty_on_ray([slow], marks)(job(data, path, SOAK_WORKERS, config, every=1_000), cluster)
        memory = Memory(cluster)
        train(trainer, path, until=lambda memory=memory: memory.look() > seconds)
        what = f"one worker 100 times slower{words}"
        yield from memory.rows(what, seconds)
        hit = fired(marks, slow)
        yield Row(what, f"for {seconds / 60:g} minutes", str(SOAK_WORKERS), "once" * hit, hit and verified(path))


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

    def stop(self) -> bool:
        """Stop killing; returns True."""
        self._over.set()
        self.join()
        return True

    @contextmanager
    def at_work(self) -> Iterator[None]:
        self.start()
        try:
            yield
        finally:
            self.stop()


def server(cluster: Cluster, data: Path, folder: Path, seed: int) -> Iterator[Row]:
    """Many deaths of the server in one run, at random moments."""
    path = folder / "server"
    config = replace(CONFIG, hidden=50, epochs=10_000)
    begin(path, config, data)
    killer = Killer([SERVER], (0.2, 3.0), SERVER_KILLS, seed)
    trainer = RayTrainer(job(data, path, 2, config), cluster)  # a server that dies before it has begun is an error
    with killer.at_work():
        train(trainer, path, until=lambda: killer.finished and killer.stop())
    # It continues undisturbed to the end of an epoch; then the whole run is computed again.
    yield Row("server killed", "at random moments of one run", "2", f"{len(killer.killed)} times", verified(path))


def soak(cluster: Cluster, data: Path, folder: Path, seconds: float, seed: int) -> Iterator[Row]:
    """Training under random kills of workers and server."""
    path = folder / "soak"
    config = TrainConfig(hidden=100, epochs=1_000_000)
    begin(path, config, data)
    killer = Killer([SERVER, WORKER], SOAK_PAUSES, 1_000_000, seed)
    trainer = RayTrainer(job(data, path, SOAK_WORKERS, config, every=200), cluster)
    memory = Memory(cluster)
    with killer.at_work():
        # The last death is got over before the end, whose checkpoint is the driver's own wish.
        train(trainer, path, until=lambda: killer.finished or (memory.look() > seconds and not killer.stop()))
    what = f"killed for {seconds / 60:g} minutes"
    yield from memory.rows(what, seconds)
    kills = f"{killer.killed.count(WORKER)} workers, {killer.killed.count(SERVER)} servers"
    yield Row(what, "at random moments of one run", str(SOAK_WORKERS), kills, verified(path))
