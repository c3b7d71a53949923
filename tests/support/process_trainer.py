"""A trainer whose server and workers are processes without Ray, for tests with real signals; it starts in 20 ms.

It uses the classes of Ray's actors, and does the work of RayTrainer and WorkerGroup: it restarts the server from its
newest checkpoint, and replaces workers that die or hang.
"""

import multiprocessing
import secrets
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from msgspec import structs

from ddmlp.data.manifest import Manifest
from ddmlp.errors import ServerLostError, TrainingError
from ddmlp.ray_backend.endpoint import Endpoint, ServerAddress
from ddmlp.training.job import Job
from ddmlp.training.report import Report
from tests.support.faults import Fault, faulty_server, faulty_slice, faulty_worker, fired, timeouts_for
from tests.support.faulty_relay import faulty_relay
from tests.support.runs import train

FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["tests.support.faults"])
TICK = 0.01  # seconds between checks for dead processes


def _serve_slice(requests: Connection, *arguments: Any) -> None:
    """Run the server of a slice until its coordinator has ended; send its addresses, and the error that ends it."""
    job, secret, address, number, faults, marks = arguments
    server = faulty_slice(faults, marks)()
    requests.send(server.start(job, secret, [address], number, Manifest.read(job.data / "train")))
    try:
        server.serve()
    except TrainingError as error:
        requests.send(error)


def _serve(requests: Connection, faults: Sequence[Fault], marks: Path) -> None:
    """Run the server: call methods of the actor, and send their results or exceptions."""
    server = faulty_server(faults, marks)()
    while True:
        method, arguments = requests.recv()
        try:
            answer = getattr(server, method)(*arguments)
        except Exception as error:
            answer = error
        requests.send(answer)


def _work(endpoints: Connection, number: int, job: Job, faults: Sequence[Fault], marks: Path) -> None:
    """Run a worker: work for one server after another."""
    worker = faulty_worker(faults, marks)(number)
    while True:
        endpoint, relay = endpoints.recv()
        worker.work(job, endpoint, far=False, slot=number, relay=relay)
        endpoints.send(None)  # released


def _serve_relay(requests: Connection, job: Job, endpoint: Endpoint, number: int, *faults: Any) -> None:
    """Run a relay until its server or all of its workers have ended; send its address."""
    relay = faulty_relay(*faults)()
    requests.send(relay.start(job, endpoint, Manifest.read(job.data / "train"), number, 0))
    relay.serve()


class ServerGone(Exception):
    """The process of a server is dead or does not answer."""


class _Process:
    """A process, and the pipe to it."""

    def __init__(self, target: Any, *arguments: Any) -> None:
        self.pipe, end = FORK.Pipe()
        self.process = FORK.Process(target=target, args=(end, *arguments), daemon=True)
        self.process.start()
        end.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.process.close()
        self.pipe.close()


class ProcessTrainer:
    """A trainer with the same interface as the others."""

    def __init__(self, job: Job, faults: Sequence[Fault] = (), marks: Path = Path(), *, relay: bool = False) -> None:
        """relay: the workers are connected to a relay, as on another node."""
        self._job = replace(job, timeouts=timeouts_for(faults, job.timeouts))
        self._faults, self._marks = tuple(faults), marks
        self._folder = tempfile.TemporaryDirectory(prefix="ddp", dir="/tmp")  # a socket's path must be short
        self._workers: dict[int, _Process] = {}
        self._server: _Process | None = None
        self._slices: list[_Process] = []
        self._with_relay, self._relay, self._relays = relay, None, 0
        self._started = self._servers = 0
        self._address: str | None = None  # of the relay
        self.deaths = {"worker": 0, "server": 0, "relay": 0}
        self.step = self._start_server()
        for _ in range(job.workers):
            self._start_worker()
        self._ask("gather", job.workers, job.timeouts.join)

    def advance(self, seconds: float) -> Report:
        report: Report = self._ask("advance", seconds)
        for number in report.hung:
            if number in self._workers:
                self._workers[number].process.kill()
        self.step = report.step
        if report.result is None:
            return report
        self.deaths["worker"] += sum(not worker.process.is_alive() for worker in self._workers.values())
        deaths = {f"{kind}_deaths": count for kind, count in self.deaths.items() if kind != "relay"}
        return replace(report, result=structs.replace(report.result, **deaths))

    def checkpoint(self) -> Path:
        folder: Path = self._ask("checkpoint")
        return folder

    def close(self) -> None:
        for each in self._workers.values():
            each.kill()
        self._workers.clear()
        self._kill_servers()
        self._folder.cleanup()

    def _start_server(self) -> int:
        self._servers += 1
        secret, address = secrets.token_bytes(32), f"{self._folder.name}/{self._servers}"
        for number in range(self._job.servers if self._job.servers > 1 else 0):
            at = ("127.0.0.1", 0) if self._with_relay else f"{address}-{number}"
            arguments = self._job, secret, at, number, self._faults, self._marks
            self._slices.append(_Process(_serve_slice, *arguments))
        places = [each.pipe.recv() for each in self._slices]
        self._endpoint = Endpoint(address, None, secret, servers=tuple(map(ServerAddress.of, places)))
        self._server = _Process(_serve, self._faults, self._marks)
        step = int(self._call("start", self._job, secret, [address], *places))
        if self._with_relay:
            far = self._call("listen", ("127.0.0.1", 0))
            self._endpoint = replace(self._endpoint, far=far)
            self._start_relay()
        return step

    def _start_relay(self) -> None:
        """Start a relay, for which the workers wait."""
        if self._relay is not None:
            self._relay.kill()
        arguments = self._job, self._endpoint, self._relays, self._faults, self._marks
        self._relay = _Process(_serve_relay, *arguments)
        self._relays += 1
        self._address = self._relay.pipe.recv()

    def _kill_servers(self) -> None:
        for each in [self._server, *self._slices, self._relay]:
            if each is not None:
                each.kill()
        self._server, self._slices, self._relay = None, [], None

    def _start_worker(self) -> None:
        worker = _Process(_work, self._started, self._job, self._faults, self._marks)
        worker.pipe.send((self._endpoint, self._address))
        self._workers[self._started] = worker
        self._started += 1

    def _ask(self, method: str, *arguments: Any) -> Any:
        """Return the server's answer; restart a server that is gone, and repeat the call."""
        while True:
            try:
                if self._server is None:
                    self._start_server()
                return self._call(method, *arguments)
            except (ServerGone, ServerLostError):
                self._kill_servers()
                self.deaths["server"] += 1

    def _call(self, method: str, *arguments: Any) -> Any:
        """Return the server's answer; raises its exception, or ServerGone."""
        assert self._server is not None
        pipe, deadline = self._server.pipe, time.monotonic() + self._job.timeouts.server
        try:
            pipe.send((method, arguments))
            while not pipe.poll(TICK):
                self._replace_workers()
                self._check_slices()
                if time.monotonic() > deadline:
                    raise ServerGone
            answer = pipe.recv()
        except (EOFError, OSError):
            raise ServerGone from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _check_slices(self) -> None:
        """Raise the error of a server of a slice, or ServerGone if one is dead."""
        for each in self._slices:
            if not each.process.is_alive():
                with suppress(EOFError):
                    raise each.pipe.recv()
                raise ServerGone

    def _replace_workers(self) -> None:
        """Replace dead workers and relays, and send released workers to the newest server and relay."""
        if self._relay is not None and not self._relay.process.is_alive():
            self.deaths["relay"] += 1
            self._start_relay()
        for number, worker in list(self._workers.items()):
            if not worker.process.is_alive():
                del self._workers[number]
                worker.kill()
                self.deaths["worker"] += 1
                self._start_worker()
            elif worker.pipe.poll():
                with suppress(EOFError, OSError):  # the worker may die at this moment
                    worker.pipe.recv()
                    worker.pipe.send((self._endpoint, self._address))


def train_with(faults: Sequence[Fault], job: Job, marks: Path, *, relay: bool = False) -> dict[str, Any]:
    """Train with faults, each of which must fire, and return the result. marks: a new folder."""
    marks.mkdir()
    found = train(ProcessTrainer(job, faults, marks, relay=relay), job.run)
    assert [fault for fault in faults if not fired(marks, fault)] == []
    return found
