"""Simulates a seed, and compares the run with what one process computes from the same data."""

import gc
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ddmlp.config import TrainConfig
from ddmlp.data.dataset import Dataset
from ddmlp.data.writer import DatasetWriter
from ddmlp.nn.known_answer import check_arithmetic
from ddmlp.runs.hash_chain import HashChain
from ddmlp.runs.origin import Origin
from ddmlp.runs.run import Run
from ddmlp.training.audit import RecordedRun
from ddmlp.training.job import Job
from ddmlp.training.setup import build_trainer
from tests.simulation.cluster import Cluster
from tests.simulation.scenario import scenario_of
from tests.simulation.world import installed

ROWS = 61
GROWING = "growing"
MEMORY = Path("/dev/shm")  # files are written much faster there


@dataclass(frozen=True)
class Outcome:
    """A simulation that has found no fault.

    fired: the kinds of faults that happened, and what else is special; schedule: a digest of everything that depends on
    the schedule; switches: between processes; seconds: on the fake clock.
    """

    seed: int
    mode: str
    fired: tuple[str, ...]
    schedule: str
    sha256: str
    switches: int
    seconds: float


@contextmanager
def dataset() -> Iterator[Path]:
    """Write a tiny dataset to a folder for the block, and, to the folder `GROWING` in it, one that will grow."""
    with tempfile.TemporaryDirectory(prefix="dds", dir=MEMORY if MEMORY.is_dir() else None) as name:
        draw = np.random.default_rng(1)
        pixels, labels = draw.integers(0, 256, (ROWS, 2, 2), np.uint8), draw.integers(0, 3, ROWS, np.uint8)
        for folder, rows in (Path(name), 40), (Path(name) / GROWING, 7):
            with DatasetWriter(folder / "train", (2, 2), 3, shard_rows=rows) as writer:
                writer.append(pixels, labels)
                writer.end()
        check_arithmetic()
        logging.disable()
        gc.collect()
        gc.freeze()  # what is imported by now need not be looked at for each seed
        try:
            yield Path(name)
        finally:
            logging.disable(logging.NOTSET)
            expected.cache_clear()
            opened.cache_clear()


@cache
def opened(data: Path) -> Dataset:
    """The dataset, for all workers."""
    return Dataset(data / "train")


@cache
def expected(config: TrainConfig, data: Path) -> dict[int, str]:
    """The SHA-256 of the weights at each step, of training in one process."""
    with tempfile.TemporaryDirectory(dir=data) as name:
        job = Job(config, data, Path(name) / "run", workers=0, checkpoint_every=1, keep=1)
        run = Run(job.run)
        with run:
            trainer = build_trainer(job)
            origin = Origin.from_manifest(config, data, opened(data).manifest)
            run.create(origin)
            while trainer.advance(60.0).result is None:
                pass
            trainer.close()
            return {entry.step: entry.weights_sha256 for entry in HashChain(run.chain, origin.fixed).entries()}


def simulate(seed: int, data: Path) -> Outcome:
    """Simulate a seed. Raises whatever is wrong."""
    scenario = scenario_of(seed)
    data = data / GROWING if scenario.config.follow else data
    with tempfile.TemporaryDirectory(dir=data) as name:
        folder = Path(name) / "run"
        folder.mkdir()
        cluster = Cluster(scenario, opened(data), data, folder)
        begun = cluster.scheduler.now
        with installed(cluster.world):
            result = cluster.run()
        recorded = RecordedRun(folder)
        assert recorded.steps[-1] == result.steps == cluster.job.plan(cluster.dataset.manifest).steps
        assert result.rows == ROWS * scenario.config.epochs
        if scenario.config.asynchronous:
            redone = recorded.recomputation(cluster.dataset, 0, result.steps)
            assert recorded.first_difference(redone, result.steps, lambda *_: None) is None
        else:
            right = expected(scenario.config, data)
            for entry in recorded.entries:
                assert entry.weights_sha256 == right[entry.step], f"the weights of step {entry.step} are wrong"
        # One more is left if the server dies after it has written the last one, and another if the power fails then:
        # a deletion is not synced. The next checkpoint would delete both.
        assert len(recorded.checkpoints) <= scenario.keep + 2, "checkpoints are left that are not to be kept"
    special = {"several servers"} if scenario.servers > 1 else set()
    special |= {"growing dataset"} if scenario.config.follow else set()
    special |= {"distorted images"} if scenario.config.augment else set()
    return Outcome(
        seed,
        scenario.mode,
        tuple(sorted(cluster.network.fired | special)),
        cluster.trace.hexdigest(),
        result.weights_sha256,
        cluster.scheduler.switches,
        cluster.scheduler.now - begun,
    )
