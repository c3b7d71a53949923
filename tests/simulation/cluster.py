"""Stands in for Ray: starts the server and the workers of a run, restarts and replaces them, and applies faults."""

import hashlib
import itertools
import random
from dataclasses import replace
from pathlib import Path

from ddmlp.data.dataset import Dataset
from ddmlp.ray_backend.attendance import Attendance
from ddmlp.ray_backend.endpoint import Endpoint
from ddmlp.runs.events import Saved
from ddmlp.runs.origin import Origin
from ddmlp.runs.result import RunResult
from ddmlp.runs.run import Run
from ddmlp.training.job import Job
from ddmlp.training.report import Report
from tests.simulation.relays import RelayProcesses
from tests.simulation.scenario import Scenario, link_of
from tests.simulation.scheduler import Process
from tests.simulation.server import ServerProcess
from tests.simulation.slices import SliceProcesses
from tests.simulation.stream import Stream
from tests.simulation.worker import WorkerProcess
from tests.simulation.world import World

LIMIT = 400.0  # seconds on the fake clock for the rest of the run, after the last fault
SWITCHES = 50_000
MOST = 6  # workers
SILENT = 2.0  # seconds without an answer from the server, after which it is asked for hung workers


class Cluster:
    """The processes of one run."""

    def __init__(self, scenario: Scenario, dataset: Dataset, data: Path, folder: Path) -> None:
        """dataset: that of the folder `data`, complete; folder: of the run, in a folder for this simulation."""
        self.scenario = scenario
        self.draw = draw = random.Random(f"schedule {scenario.seed}")
        self.world = World(draw, folder, lambda _: link_of(draw))
        self.scheduler, self.network = self.world.scheduler, self.world.network
        self.world.ended = self._ended
        self.dataset = dataset
        self.stream: Stream | None = None
        if scenario.config.follow:
            self.stream = Stream(dataset, folder.parent, self.scheduler)
            data = self.stream.near
        self.job = Job(
            scenario.config,
            data,
            folder,
            scenario.workers,
            scenario.checkpoint_every,
            scenario.keep,
            least=1,
            servers=scenario.servers,
            timeouts=scenario.timeouts,
        )
        self.wanted = scenario.workers
        self.endpoint: Endpoint | None = None
        self.server: Process | None = None
        self.serving: ServerProcess
        self.slices = SliceProcesses(self)
        self.relays = RelayProcesses(self)
        self.lost = 0  # workers since the last step
        self.workers: dict[int, Process] = {}
        self.lost_hosts: set[str] = set()
        self.stopping = False
        self.result: RunResult | None = None
        self._step = 0  # in the last report
        self.saved = -1  # the newest checkpoint that was reported
        self.trace = hashlib.sha256()
        self._attendance = Attendance(self.job.timeouts.join / 2)
        self._numbers, self._hosts = itertools.count(), itertools.count(10)

    def run(self) -> RunResult:
        """Train to the end. Raises the error of a process, and Stuck if there is no end."""
        run, scheduler = Run(self.job.run), self.scheduler
        run.create(Origin.from_manifest(self.job.config, self.job.data, self.dataset.manifest))
        self.world.disk.settle()
        begun, faults = scheduler.now, self.scenario.faults
        for when, kind in faults:
            scheduler.at(begun + when, lambda kind=kind: self._fault(kind))
        if self.stream is not None:
            scheduler.spawn("stream", "elsewhere", self.stream.run)
        self._start()
        last = max((when for when, _ in faults), default=0.0)
        scheduler.run(lambda: self.result is not None and self.server is None, begun + last + LIMIT, SWITCHES)
        self._close()
        assert self.result is not None
        return self.result

    # ---- called by the server

    def open(self, endpoint: Endpoint) -> None:
        """The server accepts workers."""
        self.endpoint = endpoint
        if self.scenario.relays:
            self.relays.start_all()

    def note(self, report: Report) -> None:
        """Take a report: workers that do not answer are killed."""
        self.trace.update(f"{self.scheduler.now} {report.step} {report.workers} {report.depth}\n".encode())
        if report.step > self._step:
            self._step, self.lost = report.step, 0
        for event in report.events:
            if isinstance(event, Saved):
                self.note_saved(event.step)
        self._kill(report.hung)
        if report.workers < len(self.workers):
            self.kill_missing()

    def kill_missing(self) -> None:
        """Kill hung workers, and those that have not connected for long."""
        roll = self.serving.roll
        self._kill([*roll.hung, *self._attendance.missing(roll, self.workers)])

    def note_call(self) -> None:
        """The server begins to do what it was asked. If that takes long, it is asked for its hung workers meanwhile."""
        serving = self.serving
        serving.calls += 1
        until = self.scheduler.now + self.job.timeouts.server
        self.scheduler.after(SILENT, lambda call=serving.calls: self._ping(serving, call, until))

    def note_saved(self, step: int) -> None:
        self.saved = max(self.saved, step)

    def finish(self, result: RunResult | None) -> None:
        """The server has closed everything, and ends."""
        self.result = result
        if result is None:
            self.network.fired.add("stop")

    # ---- for faults

    def number(self) -> int:
        """A number that no process has."""
        return next(self._numbers)

    def new_host(self) -> str:
        return f"host-{next(self._hosts)}"

    def start_worker(self, *, damaged: bool = False) -> None:
        """Start a worker, unless there are enough. damaged: its host has a damaged copy of the data."""
        if self.result is not None or (not damaged and len(self.workers) >= self.wanted):
            return
        number = self.number()
        far = damaged or self.draw.random() < self.scenario.far
        host = f"host-{self.draw.randrange(3)}" if far else "here"
        if host in self.lost_hosts:
            host = self.new_host()
        if damaged:  # always this one: if units fail on two hosts, the run is at fault
            host = "host with a damaged copy"
        pace = self.scenario.paces[number % len(self.scenario.paces)]
        dataset = self.dataset if self.stream is None else self.stream.opened(far=far)
        relayed = self.scenario.relays and far and not damaged
        place = (lambda: self.relays.endpoint(host)) if relayed else (lambda: self.endpoint)
        work = WorkerProcess(self.scheduler, self.job, dataset, place, number, host, far and not relayed, pace, damaged)
        process = self.scheduler.spawn(f"worker {number}", host, work.run)
        if not damaged:
            self.workers[number] = process
        if relayed:
            self.relays.start(host)

    # ---- the rest

    def _fault(self, kind: str) -> None:
        from tests.simulation.faults import FAULTS

        if self.result is None:
            FAULTS[kind](self)

    def _start(self) -> None:
        """Begin or resume the run."""
        self._start_server()
        for _ in range(self.wanted):
            self.scheduler.after(self.draw.random() * 0.05, self.start_worker)

    def _start_server(self) -> None:
        if self.server is None:
            self.slices.close()  # the others have versions that the checkpoint does not have
            self.serving = ServerProcess(self, self.number())
            self.slices.start(self.serving.secret)
            self.server = self.scheduler.spawn("server", "here", self.serving.run)

    def lose_servers(self) -> None:
        """A server of a slice is lost: after a while, all servers end."""
        if self.server is not None and not self.serving.closing:
            self.scheduler.after(self.draw.random() * SILENT, lambda lost=self.server: self.world.kill(lost))

    def _ended(self, process: Process) -> None:
        if self.slices.of(process):
            self.lose_servers()
        self.relays.replace(process)
        if process is self.server:
            self.server = self.endpoint = None
            if self.stopping and self.result is None:
                self._resume()
            elif self.result is None:
                self.scheduler.after(self.draw.random(), self._start_server)
        for number, worker in [*self.workers.items()]:
            if worker is process:
                del self.workers[number]
                self.lost += 1
                most = MOST * self.job.max_deaths
                assert self.lost <= most, f"more than {most} workers are lost without a step"
                self.scheduler.after(self.draw.random() * 0.5, self.start_worker)

    def _ping(self, serving: ServerProcess, call: int, until: float) -> None:
        if self.server is not None and serving is self.serving and call == serving.calls:
            if self.server.paused_until <= self.scheduler.now:
                self.kill_missing()
            if self.scheduler.now > until:
                self.world.kill(self.server)
            self.scheduler.after(SILENT, lambda: self._ping(serving, call, until))

    def _kill(self, numbers: list[int]) -> None:
        """Kill workers as soon as the current process waits."""
        for process in [self.workers[number] for number in numbers if number in self.workers]:
            self.scheduler.after(0.0, lambda process=process: self.world.kill(process))

    def _resume(self) -> None:
        """The command has ended; another one resumes the run, with other numbers of workers and servers."""
        self.stopping = False
        self.slices.close()
        for process in [each for each in self.scheduler.processes if each.name.startswith(("worker", "relay"))]:
            self.world.kill(process)
        self.wanted = self.draw.randint(1, 4)
        servers = self.draw.choice((1, 2, 3)) if self.scenario.servers > 1 else 1
        self.job = replace(self.job, workers=self.wanted, servers=servers)
        self.scheduler.after(self.draw.random(), self._start)

    def _close(self) -> None:
        """Kill what is left, as the trainer does at the end. Nothing may be left open."""
        for process in [*self.scheduler.processes]:
            self.world.kill(process)
        assert not self.network.sockets, f"sockets are left open: {len(self.network.sockets)}"
        assert not self.network.listeners, "a listener is left open"
        assert not self.world.memory.open, "shared memory is left open"
