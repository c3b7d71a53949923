"""Elastic groups: workers join when CPUs are free and leave when they are not; the weights stay the same."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ddmlp.config import Timeouts, TrainConfig
from ddmlp.errors import ClusterError
from ddmlp.ray_backend.actors import WorkerActor
from ddmlp.ray_backend.cluster import Cluster
from ddmlp.ray_backend.trainer import RayTrainer
from ddmlp.ray_backend.worker_group import WorkerGroup
from ddmlp.runs.run import Run
from ddmlp.training.job import Job
from ddmlp.training.report import Report
from ddmlp.training.setup import build_trainer
from tests.support.processes import actors, alive, assert_no_actor_is_left

CONFIG = TrainConfig(hidden=20, batch=150, microbatch=32, epochs=5000)  # far more than a test waits for
MANY = 50  # workers: more than there is room for
WORKER = b"ray::WorkerActor"


def job(data: Path, run: Path, least: int, most: int, **more: Any) -> Job:
    run.mkdir(exist_ok=True)
    return Job(CONFIG, data, run, most, checkpoint_every=1000, least=least, **more)


def ask_for(cluster: Cluster, cpus: float) -> Any:
    """An actor that reserves a number of CPUs, once they are free."""

    class Holder:
        def here(self) -> bool:
            return True

    return cluster.ray.remote(Holder).options(num_cpus=cpus).remote()


def hold(cluster: Cluster, cpus: float) -> Any:
    """An actor that has reserved a number of CPUs."""
    holder = ask_for(cluster, cpus)
    assert cluster.ray.get(holder.here.remote(), timeout=20)
    return holder


@contextmanager
def room_for(cluster: Cluster, workers: int) -> Iterator[Callable[[], None]]:
    """Only CPUs for this number of workers are free, until the yielded function is called."""
    if cluster.cpus < 2:
        pytest.skip("needs 2 CPUs")
    holder = hold(cluster, cluster.cpus - workers)
    try:
        yield lambda: cluster.ray.kill(holder)
    finally:
        cluster.ray.kill(holder)


def waiting(cluster: Cluster) -> list[str]:
    """The actors that have no process yet."""
    table = cluster.ray._private.state.actors()
    return [name for name, actor in table.items() if actor["State"] in ("DEPENDENCIES_UNREADY", "PENDING_CREATION")]


def places(cluster: Cluster, *states: str) -> int:
    """The number of placement groups in these states."""
    return sum(place["state"] in states for place in cluster.ray.util.placement_group_table().values())


def assert_all_is_free(cluster: Cluster, cpus: int) -> None:
    """Assert that soon no placement group is left, and this number of CPUs is free."""
    states = ("PENDING", "PREPARED", "CREATED", "RESCHEDULING")
    deadline = time.monotonic() + 20
    while places(cluster, *states) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert places(cluster, *states) == 0
    cluster.ray.kill(hold(cluster, cpus))


def until(trainer: RayTrainer, condition: Callable[[Report], bool]) -> Report:
    """Train until the condition holds; pytest's timeout is the bound."""
    while not condition(report := trainer.advance(0.1)):
        assert not report.done, "the run has ended before"
    return report


def assert_continues(trainer: RayTrainer, workers: int) -> None:
    """Assert that the run makes steps with this number of workers."""
    before = until(trainer, lambda report: report.workers == workers).step
    assert until(trainer, lambda report: report.step > before).workers == workers


def assert_as_alone(trainer: RayTrainer, data: Path, folder: Path) -> None:
    """Assert that the current weights are those of one process after the same number of steps."""
    trainer.checkpoint()
    (found, complaints) = Run(folder / "run").checkpoints.newest()
    assert found is not None
    assert complaints == []
    assert found.step == trainer.step > 0
    alone = build_trainer(job(data, folder / "alone", 0, 0, stop_after=found.step))
    try:
        while (report := alone.advance(1)).result is None:
            pass
    finally:
        alone.close()
    assert report.step == found.step
    assert report.result.weights_sha256 == found.weights.sha256()


def test_simple(tmp_path: Path):
    fixed, elastic = job(tmp_path, tmp_path, 3, 3), job(tmp_path, tmp_path, 1, 3)
    assert (fixed.fewest, fixed.elastic) == (3, False)
    assert (elastic.fewest, elastic.elastic) == (1, True)
    assert Job(CONFIG, tmp_path, tmp_path, 3, 1000).fewest == 3


def test_waiting_actors(cluster: Cluster):
    with room_for(cluster, 1):
        waits = ask_for(cluster, cluster.cpus)
        place = cluster.ray.util.placement_group([{"CPU": cluster.cpus}])
        assert len(waiting(cluster)) == 1
        assert places(cluster, "PENDING") == 1
        cluster.ray.util.remove_placement_group(place)
        cluster.ray.kill(waits)


@pytest.mark.slow
def test_group_grows(cluster: Cluster, data: Path, tmp_path: Path):
    with room_for(cluster, 1) as free:
        trainer = RayTrainer(job(data, tmp_path / "run", 1, 2), cluster)
        try:
            assert_continues(trainer, 1)
            assert len(actors(WORKER)) == 1
            assert waiting(cluster) == []
            free()
            assert_continues(trainer, 2)
            assert places(cluster, "PENDING") == 0
            assert_as_alone(trainer, data, tmp_path)
        finally:
            trainer.close()
    assert_no_actor_is_left()


@pytest.mark.slow
def test_close_waits_for_no_place(cluster: Cluster, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with room_for(cluster, 1):
        trainer = RayTrainer(job(data, tmp_path / "run", 1, MANY), cluster)
        assert_continues(trainer, 1)
        assert waiting(cluster) == []
        assert places(cluster, "PENDING") == MANY - 1

        def wait(*_: Any, **__: Any) -> None:
            raise AssertionError("it waits")

        with monkeypatch.context() as patch:
            patch.setattr(cluster.ray, "wait", wait)
            trainer.close()
        assert_no_actor_is_left()
        assert_all_is_free(cluster, 1)


@pytest.mark.slow
def test_room_taken_when_one_dies(cluster: Cluster, data: Path, tmp_path: Path):
    """The run continues with the others, and replaces the dead one once a CPU is free."""
    robbers = []

    class RobbedGroup(WorkerGroup):
        def _release(self, member):
            super()._release(member)
            if not robbers:
                robbers.append(hold(cluster, 1))

    class Trainer(RayTrainer):
        group_class = RobbedGroup

    with room_for(cluster, 2):
        trainer = Trainer(job(data, tmp_path / "run", 1, 2), cluster)
        try:
            assert_continues(trainer, 2)
            assert robbers == []
            os.kill(actors(WORKER)[0], signal.SIGKILL)
            until(trainer, lambda _: len(robbers) == 1)
            assert_continues(trainer, 1)
            assert waiting(cluster) == []
            assert places(cluster, "PENDING") == 1
            cluster.ray.kill(robbers[0])
            assert_continues(trainer, 2)
            assert_as_alone(trainer, data, tmp_path)
        finally:
            trainer.close()
            for robber in robbers:
                cluster.ray.kill(robber)
    assert_no_actor_is_left()


@pytest.mark.slow
def test_all_killed_come_back(cluster: Cluster, data: Path, tmp_path: Path):
    with room_for(cluster, 2):
        trainer = RayTrainer(job(data, tmp_path / "run", 1, MANY), cluster)
        try:
            assert_continues(trainer, 2)
            victims = actors(WORKER)
            assert len(victims) == 2
            for victim in victims:
                os.kill(victim, signal.SIGKILL)
            until(trainer, lambda _: not alive(victims))
            assert_continues(trainer, 2)
            assert_as_alone(trainer, data, tmp_path)
        finally:
            trainer.close()
    assert_no_actor_is_left()


@pytest.mark.parametrize(  # the free CPU must be found in time, also on a busy machine
    ("free", "seconds"), [(0, 0.5), pytest.param(1, 15, marks=pytest.mark.chaos)]
)
def test_no_place_for_the_fewest(free: int, seconds: float, cluster: Cluster, data: Path, tmp_path: Path):
    if cluster.cpus < 2:
        pytest.skip("needs 2 CPUs")
    holder = hold(cluster, cluster.cpus - free)
    expected = (
        rf"{2 - free} of at least 2 workers .* {seconds:g} s.*{cluster.cpus:g} CPUs, 0 of them free.*fewer workers"
    )
    with pytest.raises(ClusterError, match=expected):
        RayTrainer(job(data, tmp_path / "run", 2, MANY, timeouts=Timeouts(place=seconds)), cluster)
    assert_no_actor_is_left()
    cluster.ray.kill(holder)
    assert_all_is_free(cluster, int(cluster.cpus))


@pytest.mark.slow
def test_deaths_are_bounded(cluster: Cluster, data: Path, tmp_path: Path):
    """By the number of running workers, not by the maximum."""

    class Mortal(WorkerActor):
        def work(self, *_: Any, **__: Any) -> str:
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError("it was not killed")

    class Trainer(RayTrainer):
        group_class = type("MortalGroup", (WorkerGroup,), {"worker_class": Mortal})

    with room_for(cluster, 1), pytest.raises(ClusterError, match=r"^2 workers .*: \w"):
        Trainer(job(data, tmp_path / "run", 1, MANY, max_deaths=1), cluster)
    assert_no_actor_is_left()
