"""Processes as greenlets on a fake clock. All that is random comes from one generator, so a seed repeats a schedule."""

import heapq
import itertools
import math
import random
from collections.abc import Callable
from typing import Any

from greenlet import GreenletExit, greenlet

Action = Callable[[], None]


class Stuck(AssertionError):
    """The simulation does not end."""


class Process:
    """A process. It runs until it waits, and other processes run meanwhile.

    When it is killed, GreenletExit is raised in it, only to free what it holds: nothing that it then does has an effect
    on sockets and files.
    """

    def __init__(self, name: str, host: str, target: Action) -> None:
        self.name, self.host = name, host
        self.alive = True
        self.error: Exception | None = None
        self.paused_until = 0.0
        self.deadline = 0.0
        self.ready: Callable[[], Any] | None = None
        self._target = target
        self.greenlet = greenlet(self._run)

    def _run(self) -> None:
        try:
            self._target()
        except GreenletExit:
            pass
        except Exception as error:
            self.error = error
        finally:
            self.alive = False


class Scheduler:
    """Runs one process at a time, chosen at random among those that may run; if there is none, time advances."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.now = 1_000.0
        self.switches = 0
        self.current: Process | None = None  # the process that runs
        self.processes: list[Process] = []
        # Called once for each process that ends by itself, or that is killed, before it frees what it holds.
        self.ended: Callable[[Process], None] = lambda _: None
        self.killed: Callable[[Process], None] = lambda _: None
        self._timers: list[tuple[float, int, Action]] = []
        self._count = itertools.count()

    # ---- for processes

    def wait(self, seconds: float, ready: Callable[[], Any] | None = None) -> None:
        """Let the current process wait until `ready` returns something true, but at most for `seconds`."""
        process = self.current
        if process is None or not process.alive:  # one that is being killed waits for nothing
            return
        process.deadline, process.ready = self.now + seconds, ready
        if process.deadline < math.inf:
            self.at(process.deadline)
        assert process.greenlet.parent is not None
        process.greenlet.parent.switch()

    # ---- for the simulation

    def spawn(self, name: str, host: str, target: Action) -> Process:
        """Start a process."""
        process = Process(name, host, target)
        self.processes.append(process)
        return process

    def kill(self, process: Process) -> None:
        """End a process at once, wherever it waits. Not called by processes."""
        if not process.alive:
            return
        process.alive = False
        self.killed(process)
        self.current = process
        process.greenlet.throw(GreenletExit)
        self.current = None
        assert process.greenlet.dead, f"{process.name} survives its death"
        self.processes.remove(process)

    def at(self, when: float, action: Action = lambda: None) -> None:
        """Call `action` at a time, or look at that time which processes may run."""
        heapq.heappush(self._timers, (when, next(self._count), action))

    def after(self, seconds: float, action: Action = lambda: None) -> None:
        self.at(self.now + seconds, action)

    def run(self, over: Callable[[], bool], until: float, most_switches: int) -> None:
        """Run until `over`. Raises Stuck at the time `until`, or after that many switches."""
        while not over():
            if self._timers and self._timers[0][0] <= self.now:
                heapq.heappop(self._timers)[2]()
                continue
            now = self.now
            due = [
                each
                for each in self.processes
                if each.paused_until <= now and (each.deadline <= now or (each.ready is not None and each.ready()))
            ]
            if due:
                self._switch_to(due[0] if len(due) == 1 else self.draw.choice(due))
                if self.switches > most_switches:
                    raise Stuck(f"{self.switches} switches, and no end")
            elif not self._timers:
                raise Stuck(f"all of {[each.name for each in self.processes]} wait without a limit")
            else:
                self.now = self._timers[0][0]
                if self.now > until:
                    raise Stuck(f"no end after {until - 1_000.0:g} s")

    def _switch_to(self, process: Process) -> None:
        self.switches += 1
        process.ready = None
        process.deadline = math.inf
        self.current = process
        process.greenlet.switch()
        self.current = None
        if process.greenlet.dead and process in self.processes:
            self.processes.remove(process)
            self.ended(process)
