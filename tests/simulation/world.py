"""Puts the fakes into the modules of ddmlp, for one simulation."""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ddmlp.runs import run
from ddmlp.training import local_steps, recorder, step_loop, trainer, training_data, worker
from ddmlp.transport import (
    client,
    connections,
    frames,
    handshake,
    listener,
    packed_arrays,
    protocol,
    server_link,
    slice_client,
    slice_links,
    slice_server,
    socket_pool,
)
from tests.simulation import system
from tests.simulation.disk import Disk
from tests.simulation.network import Network
from tests.simulation.pipe import Link
from tests.simulation.scheduler import Process, Scheduler

CLOCKS = (
    *(trainer, training_data, step_loop, recorder, local_steps, worker),
    *(client, connections, packed_arrays, server_link, slice_client, slice_server, socket_pool),
)


class World:
    """A scheduler, a network, a disk and shared memory."""

    def __init__(self, draw: random.Random, folder: Path, link: Callable[[str], Link]) -> None:
        self.draw = draw
        self.scheduler = Scheduler(draw)
        self.network = Network(self.scheduler, link)
        self.disk = Disk(folder, self.scheduler)
        self.memory = system.Memory(self.scheduler)
        self.ended: Callable[[Process], None] = lambda _: None  # called once for each process that has ended
        self.scheduler.ended, self.scheduler.killed = self._end, self._bury

    def kill(self, process: Process, *, power: bool = False) -> None:
        """Kill a process, which does not run now. power: the disk loses what is not synced, too."""
        if process.alive:
            server = process.name == "server"
            if server:
                self.disk.crash(power=power)
            self.scheduler.kill(process)
            if server:
                self.disk.restore()
            self.ended(process)

    def _bury(self, process: Process) -> None:
        self.network.bury(process)
        self.memory.bury(process)

    def _end(self, process: Process) -> None:
        self._bury(process)
        if process.error is not None:
            raise process.error
        self.ended(process)


@contextmanager
def installed(world: World) -> Iterator[None]:
    """Let the modules of ddmlp use this world in the block."""
    scheduler, network = world.scheduler, world.network
    sockets, region, holders = system.fake_socket(network), world.memory.region(), {}
    fakes: list[tuple[Any, str, Any]] = [
        *((module, "time", system.fake_time(scheduler)) for module in CLOCKS),
        *((module, "socket", sockets) for module in (client, frames, listener, protocol)),
        *((module, "Region", region) for module in (client, listener, socket_pool)),
        *((module, "select", system.fake_select(network)) for module in (server_link, slice_links)),
        (client, "os", system.fake_os(scheduler)),
        (connections, "selectors", system.fake_selectors(network)),
        (handshake, "secrets", system.fake_secrets(scheduler)),
        (run, "filelock", SimpleNamespace(FileLock=partial(system.FakeLock, scheduler, holders), Timeout=TimeoutError)),
        (training_data, "IntegrityChecker", partial(system.FakeChecker, scheduler)),
        (os, "fsync", world.disk.fsync),
        (os, "replace", world.disk.replace),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Network, "current", network)
        for module, name, fake in fakes:
            patch.setattr(module, name, fake)
        yield
