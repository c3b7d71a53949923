"""Faults as data: "kill worker 1 when it has computed a unit of step 17", fired by the victim itself, by a real signal.

A fault leaves a mark when it fires, and so fires once, however often its step is done again. What has no mark has not
happened, and a test that is about it must fail.
"""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddmlp.ray_backend import actors
from ddmlp.ray_backend.actors import ServerActor, WorkerActor
from ddmlp.ray_backend.trainer import RayTrainer
from ddmlp.ray_backend.worker_group import WorkerGroup
from ddmlp.runs import checkpoint, checkpoint_manager, hash_chain
from ddmlp.training import parameter_server, trainer, unit_queue
from ddmlp.transport import client, socket_pool

ANY = -1  # worker: whoever comes to it first
WORKER_MOMENTS = ("taken", "computed", "answered")
SERVER_MOMENTS = ("begun", "half", "applied", "linked", "torn", "saved")


@dataclass(frozen=True)
class Fault:
    """What happens to whom, and when.

    kind: kill (SIGKILL), stop (SIGSTOP), slow (each unit from then on takes `seconds` longer), corrupt (one bit of the
    answer is flipped, and the worker is slow, too); worker: its number, or ANY, or None for the server; moment: of
    WORKER_MOMENTS or SERVER_MOMENTS.

    A worker has taken a unit of `step`, computed or answered it. The server has begun the step, has received a part of
    its gradients, has applied it; it has put the checkpoint's link on the chain, written half of its file, or saved it.
    """

    kind: str
    worker: int | None
    step: int
    moment: str
    seconds: float = 0.0

    @property
    def mark(self) -> str:
        return f"{self.kind}-{'server' if self.worker is None else self.worker}-{self.step}-{self.moment}"


def fired(marks: Path, fault: Fault) -> bool:
    return (marks / fault.mark).exists()


class Faults:
    """The faults of one process."""

    def __init__(self, faults: Sequence[Fault], marks: Path, worker: int | None) -> None:
        mine = {worker} if worker is None else {worker, ANY}
        self.faults, self.marks = [fault for fault in faults if fault.worker in mine], marks
        self.slow = 0.0

    def at(self, step: int, moment: str, flat: Any = None) -> None:
        """The process has come to this moment; `flat`: the gradient that it is about to send."""
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


class FaultyWorkerActor(WorkerActor):
    faults: Sequence[Fault]
    marks: Path

    def __init__(self, number: int) -> None:
        super().__init__(number)
        mine = Faults(self.faults, self.marks, number)

        class Worker(actors.Worker):
            def compute(self, unit, weights, out):
                mine.at(unit.step, "taken")
                tally = super().compute(unit, weights, out)
                mine.at(unit.step, "computed", out.flat)
                return tally

        class WorkerClient(client.WorkerClient):
            def answer(self, unit, tally):
                super().answer(unit, tally)
                mine.at(unit.step, "answered")

        actors.Worker, actors.WorkerClient = Worker, WorkerClient


class FaultyServerActor(ServerActor):
    faults: Sequence[Fault]
    marks: Path

    def __init__(self) -> None:
        mine = Faults(self.faults, self.marks, None)
        step = 0
        if all(fault.kind == "kill" for fault in self.faults):
            unit_queue.SHORTEST = 60.0  # on a busy machine a victim may lag, and must not lose its unit for that
        socket_pool.CORES = 64  # everyone is given units, whatever this machine has

        class ParameterServer(parameter_server.ParameterServer):
            def begin(self, step, read, microbatches):
                super().begin(step, read, microbatches)
                mine.at(step, "begun")

            def receive(self, gradient):
                super().receive(gradient)
                mine.at(gradient.unit.step, "half")

            def apply(self, step, rate, into):
                tally = super().apply(step, rate, into)
                mine.at(step, "applied")
                return tally

        class Chain(hash_chain.Chain):
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

        written = checkpoint.whole_file
        trainer.ParameterServer, checkpoint_manager.Chain, checkpoint.whole_file = ParameterServer, Chain, whole_file


class Torn:
    """A file that may die with half of what was written to it."""

    def __init__(self, file: Any, moment: Any) -> None:
        self.file, self.moment = file, moment

    def write(self, data: Any) -> None:
        self.file.write(data[: len(data) // 2])
        self.file.flush()
        self.moment()
        self.file.write(data[len(data) // 2 :])


def faulty(faults: Sequence[Fault], marks: Path) -> type[RayTrainer]:
    """A RayTrainer whose processes have these faults."""
    given = {"faults": tuple(faults), "marks": marks}
    # Their names are those of the real ones, because that is how the tests find their processes.
    worker = type("WorkerActor", (FaultyWorkerActor,), given)
    crew = type("FaultyCrew", (WorkerGroup,), {"worker_class": worker})
    return type(
        "FaultyTrainer",
        (RayTrainer,),
        {"server_class": type("ServerActor", (FaultyServerActor,), given), "crew_class": crew},
    )
