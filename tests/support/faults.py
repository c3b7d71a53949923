"""Faults as data, such as "kill worker 1 after it computed a unit of step 17". The faulty process signals itself.

A fault leaves a mark when it fires, so it fires only once even if its step is repeated. Tests assert that the mark
exists: a fault without a mark has not happened.
"""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from ddmlp.config import Timeouts
from ddmlp.ray_backend.actors import ServerActor, WorkerActor
from ddmlp.ray_backend.server_group import ServerGroup
from ddmlp.ray_backend.slice_actor import SliceActor
from ddmlp.ray_backend.trainer import RayTrainer
from ddmlp.ray_backend.worker_group import WorkerGroup
from ddmlp.runs import arrays, checkpoint_manager, hash_chain
from ddmlp.training import parameter_server, setup
from ddmlp.training.coordinator import Coordinator
from ddmlp.training.weight_slice import WeightSlice
from ddmlp.training.worker import Worker
from ddmlp.transport.client import WorkerClient

ANY = -1  # the first worker that reaches the moment
WORKER_MOMENTS = ("taken", "computed", "answered")
RELAY = -1_000  # any relay; its moments are those of a worker
SLICE = -2  # the first of several servers; the next one is SLICE - 1, and so on
SLICE_MOMENTS = ("loaded", "begun", "half", "applied")
SERVER_MOMENTS = ("begun", "half", "applied", "linked", "torn", "saved")


@dataclass(frozen=True)
class Fault:
    """A fault of one process at one moment.

    Parameters
    ----------
    kind : str
        kill (SIGKILL), stop (SIGSTOP), slow (later units take `seconds` longer), or corrupt (one bit of the answer is
        flipped, and later units are slow).
    worker : int or None
        The worker's number, or ANY; None for the server, or the coordinator of several; SLICE for the first of these.
    step : int
        The step.
    moment : str
        After the worker has taken, computed or answered a unit of the step; or after the server has begun the step,
        received half of its gradients, applied it, linked its checkpoint to the chain, written half of the file (torn),
        or saved it.
    seconds : float
        For slow and corrupt.
    """

    kind: str
    worker: int | None
    step: int
    moment: str
    seconds: float = 0.0

    @property
    def mark(self) -> str:
        victim = "server" if self.worker is None else self.worker
        return f"{self.kind}-{victim}-{self.step}-{self.moment}"


def fired(marks: Path, fault: Fault) -> bool:
    return (marks / fault.mark).exists()


class Faults:
    """The faults of one process."""

    def __init__(self, faults: Sequence[Fault], marks: Path, worker: int | None) -> None:
        mine = {worker, ANY} if worker is not None and worker >= 0 else {worker}
        self.faults, self.marks = [fault for fault in faults if fault.worker in mine], marks
        self.slow = 0.0

    def at(self, step: int, moment: str, flat: Any = None) -> None:
        """Fire the faults of this moment; `flat` is the gradient that will be sent."""
        for fault in self.faults:
            if (fault.step, fault.moment) == (step, moment):
                try:
                    (self.marks / fault.mark).touch(exist_ok=False)
                except FileExistsError:
                    continue
                if fault.kind == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                elif fault.kind == "stop":
                    os.kill(os.getpid(), signal.SIGSTOP)
                else:
                    self.slow = fault.seconds
                    if fault.kind == "corrupt":
                        flat.view("uint32")[7] ^= 1
        if moment == "computed":
            time.sleep(self.slow)


def faulty_worker(faults: Sequence[Fault], marks: Path) -> type[WorkerActor]:
    """Return a class of workers with these faults, to be used in another process."""

    class FaultyWorkerActor(WorkerActor):
        def __init__(self, number: int) -> None:
            super().__init__(number)
            mine = Faults(faults, marks, number)

            class FaultyWorker(Worker):
                def compute(self, unit, weights, out):
                    mine.at(unit.step, "taken")
                    row_stats = super().compute(unit, weights, out)
                    mine.at(unit.step, "computed", out.flat)
                    return row_stats

            class FaultyClient(WorkerClient):
                def answer(self, unit, row_stats):
                    super().answer(unit, row_stats)
                    mine.at(unit.step, "answered")

            self.worker_class, self.client_class = FaultyWorker, FaultyClient

    FaultyWorkerActor.__name__ = FaultyWorkerActor.__qualname__ = "WorkerActor"  # tests find the processes by this name
    return FaultyWorkerActor


def faulty_server(faults: Sequence[Fault], marks: Path) -> type[ServerActor]:
    """Return a class of servers with these faults. It patches modules, so it must be used in another process."""

    class FaultyServerActor(ServerActor):
        pool_options: ClassVar[dict[str, Any]] = {"cores": 64}  # all workers get units, however few cores there are

        def __init__(self) -> None:
            mine = Faults(faults, marks, None)
            step = 0

            class FaultyServer(parameter_server.ParameterServer):
                def begin_step(self, step, read, microbatches):
                    super().begin_step(step, read, microbatches)
                    mine.at(step, "begun")

                def receive(self, gradient):
                    super().receive(gradient)
                    mine.at(gradient.unit.step, "half")

                def apply_step(self, step, rate, into):
                    row_stats = super().apply_step(step, rate, into)
                    mine.at(step, "applied")
                    return row_stats

            class FaultyChain(hash_chain.HashChain):
                def append(self, at, weights_sha256):
                    nonlocal step
                    step = at
                    digest = super().append(at, weights_sha256)
                    mine.at(step, "linked")
                    return digest

            @contextmanager
            def whole_file(path):
                with written(path) as file:
                    if any(fault.moment == "torn" for fault in mine.faults):
                        file = Torn(file, lambda: mine.at(step, "torn"))
                    yield file
                if path.parent.name == "checkpoints":
                    mine.at(step, "saved")

            written = arrays.whole_file
            setup.ParameterServer, checkpoint_manager.HashChain = FaultyServer, FaultyChain
            setup.Coordinator = type("FaultyCoordinator", (Coordinator, FaultyServer), {})
            arrays.whole_file = whole_file

    FaultyServerActor.__name__ = FaultyServerActor.__qualname__ = "ServerActor"
    return FaultyServerActor


def faulty_slice(faults: Sequence[Fault], marks: Path) -> type[SliceActor]:
    """Return a class of servers of slices with these faults."""

    class FaultySliceActor(SliceActor):
        def start(self, job, secret, addresses, number, *more):
            mine = Faults(faults, marks, SLICE - number)

            class FaultySlice(WeightSlice):
                def load(self, version, flat):
                    super().load(version, flat)
                    mine.at(version, "loaded")

                def begin(self, step, read, microbatches):
                    super().begin(step, read, microbatches)
                    mine.at(step, "begun")

                def add(self, unit, flat, worker, checksum):
                    super().add(unit, flat, worker, checksum)
                    mine.at(unit.step, "half")

                def apply(self, step, step_size, keep):
                    super().apply(step, step_size, keep)
                    mine.at(step, "applied")

            self.slice_class = FaultySlice
            return super().start(job, secret, addresses, number, *more)

    FaultySliceActor.__name__ = FaultySliceActor.__qualname__ = "SliceActor"
    return FaultySliceActor


def timeouts_for(faults: Sequence[Fault], timeouts: Timeouts | None = None) -> Timeouts:
    """Return timeouts for the faults: a process to be killed must not lose its unit first on a busy machine."""
    timeouts = timeouts or Timeouts()
    return replace(timeouts, overdue=60.0) if all(fault.kind == "kill" for fault in faults) else timeouts


class Torn:
    """A file whose process may die after half of the data is written."""

    def __init__(self, file: Any, moment: Any) -> None:
        self.file, self.moment = file, moment

    def write(self, data: Any) -> None:
        self.file.write(data[: len(data) // 2])
        self.file.flush()
        self.moment()
        self.file.write(data[len(data) // 2 :])


def faulty_on_ray(faults: Sequence[Fault], marks: Path) -> type[RayTrainer]:
    """Return a class of RayTrainers whose processes have these faults."""
    group = type("FaultyGroup", (WorkerGroup,), {"worker_class": faulty_worker(faults, marks)})
    servers = type("FaultyServers", (ServerGroup,), {"slice_class": faulty_slice(faults, marks)})
    kinds = {"server_class": faulty_server(faults, marks), "servers_class": servers, "group_class": group}
    return type("FaultyTrainer", (RayTrainer,), kinds)
