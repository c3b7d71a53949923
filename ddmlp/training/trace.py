"""A trace of a run: what the server and each worker did when, as events for a viewer of traces.

It observes the objects that do the work. They know nothing of it, so nothing of it can reach the weights.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from ddmlp.plan.row_stats import RowStats
from ddmlp.runs.trace_events import (
    PROCESSES,
    QUEUE,
    SERVER,
    WAY,
    gradients_line,
    instant_line,
    slice_line,
    unit_lines,
    units_line,
)
from ddmlp.runs.trace_file import MAX_BYTES, TraceFile
from ddmlp.training.lanes import Lanes
from ddmlp.training.loop import Applied, Loop
from ddmlp.training.messages import Gradient, Unit
from ddmlp.training.observe import observe
from ddmlp.training.parameter_server import ParameterServer
from ddmlp.training.recorder import Recorder
from ddmlp.training.unit_queue import UnitQueue


class Connected(Protocol):
    """What has joined: a worker or a relay."""

    worker: int
    host: str


class Taken(NamedTuple):
    """A unit that a worker has: since when it was in the queue, its place there, and when it was taken."""

    queued: float
    place: int
    taken: float


class Trace:
    """Records the units, the queues, the updates, and the workers that join and die.

    Times are those of the server's clock, `time.monotonic`. Processes of one machine share it, so the times of a worker
    there count as they are. Those of a worker on another machine are shifted, so that its unit was computed when the
    answer arrived: how long the message took is not known.
    """

    def __init__(self, folder: Path, step: int, workers: int, most: int = MAX_BYTES) -> None:
        """Continue the trace in a run's folder, or begin one. step: the position; workers: the most at a time."""
        self._file = TraceFile(folder, most)
        self._zero = 1e6 * (time.time() - time.monotonic())  # of the clock, in microseconds since 1970
        self._lanes = Lanes(workers)
        self._places: list[int] = []  # free places in the queue, of the first `_used`
        self._used = 0
        self._queued: dict[Unit, tuple[float, int]] = {}  # since when, and the place
        self._taken: dict[tuple[int, Unit], Taken] = {}
        self._reads: dict[int, int] = {}  # the version that each open step reads
        self._described: tuple[Unit | None, str] = (None, "")  # the newest unit
        self._lines: list[str] = []  # that are not written yet
        self._unread: Callable[[], int] = int
        self._instant("restart" if self._file.begun else "start", SERVER, time.monotonic(), step=step)

    def follow_pool(self, queue: UnitQueue, connections: object, unread: Callable[[], int]) -> None:
        """Record the units of a queue, and the workers. connections: with the methods `attend`, which returns a worker
        that has joined, and `remove`; unread: returns the number of answers that wait for the server."""
        self._unread = unread
        observe(queue, "put", self._put)
        observe(queue, "take", self._take)
        observe(queue, "accept", self._accept)
        observe(queue, "remove_worker", self._remove)
        observe(queue, "reissue_overdue", self._reissue)
        observe(connections, "attend", self._join)
        observe(connections, "remove", self._lose)

    def follow_server(self, server: ParameterServer) -> None:
        """Record what a server adds and applies."""
        observe(server, "receive", self._add)
        observe(server, "apply_step", lambda *seen: self._apply(server.version, *seen))

    def follow_steps(self, loop: Loop) -> None:
        """Record the steps of a loop in one process."""
        observe(loop, "advance", self._steps)

    def follow_recorder(self, recorder: Recorder) -> None:
        """Record checkpoints and tests, and write the trace with each report."""
        observe(recorder, "save_checkpoint", lambda begin, end, *_: self._slice("checkpoint", begin, end))
        observe(recorder, "end_epoch", lambda begin, end, *_: self._slice("test", begin, end))
        observe(recorder, "report", lambda *_: self._flush())

    def _flush(self) -> None:
        """Write what is not written yet."""
        if self._lines:
            self._file.write(self._lanes.new_names() + "".join(self._lines), self._lanes.names)
            self._lines.clear()

    def _join(self, _begin: float, end: float, peer: Connected | None, *_: object) -> None:
        if peer is not None:
            self._instant("joined", self._lanes.of(peer.worker), end, worker=peer.worker, host=peer.host)

    def _lose(self, _begin: float, end: float, lost: bool, peer: Connected, cause: str, reason: str) -> None:
        if lost:
            self._instant("death", self._lanes.of(peer.worker), end, worker=peer.worker, cause=cause, reason=reason)

    def _put(self, begin: float, _end: float, _none: None, unit: Unit) -> None:
        self._queued[unit] = begin, self._place()

    def _take(self, _begin: float, end: float, unit: Unit | None, worker: int, *_: object) -> None:
        if unit is not None:
            self._taken[worker, unit] = Taken(*self._leave(unit), end)

    def _accept(self, _begin: float, now: float, _first: bool, gradient: Gradient, *_: object) -> None:
        unit, worker = gradient.unit, gradient.worker
        if unit in self._queued:  # it was about to be computed again
            self._leave(unit)
        held = len(self._taken)
        taken = self._taken.pop((worker, unit))
        begun = found = computed = now
        if gradient.times is not None:
            begun, found, computed = gradient.times
            if begun < taken.taken or computed > now:  # another machine's clock
                begun, found, computed = (max(taken.taken, each - computed + now) for each in gradient.times)
        lane = self._lanes.of(worker)
        begun = self._lanes.after(lane, begun)
        found = max(begun, found)
        computed = max(found, computed)
        self._lanes.occupy(lane, computed)
        moments = (taken.queued, taken.taken, begun, found, computed, now)
        zero, what, way = self._zero, described(unit), self._lanes.way(lane)
        self._described = unit, what
        self._lines.append(
            unit_lines(taken.place, way, lane, what, worker, *[int(1e6 * each + zero) for each in moments])
            + units_line(int(1e6 * now + zero), len(self._queued), held)
        )

    def _remove(self, _begin: float, end: float, back: list[Unit], worker: int) -> None:
        """A worker is removed: its units end with it."""
        for key in [key for key in self._taken if key[0] == worker]:
            unit, (queued, place, taken) = key[1], self._taken.pop(key)
            way = self._lanes.way(self._lanes.of(worker))
            self._slice("queued", queued, taken, described(unit), QUEUE, place)
            self._slice("taken", taken, end, described(unit), WAY, way)
        self._lanes.free(worker)
        self._again(back, end)

    def _reissue(self, _begin: float, end: float, back: list[Unit], *_: object) -> None:
        holders = {unit: worker for worker, unit in self._taken}
        for unit in back:
            where = {"step": unit.step, "first": unit.node.lo, "count": unit.microbatches, "worker": holders[unit]}
            self._instant("overtaken", self._lanes.of(holders[unit]), end, **where)
        self._again(back, end)

    def _again(self, units: Sequence[Unit], now: float) -> None:
        """Units are in the queue again."""
        for unit in units:
            self._queued[unit] = now, self._place()

    def _add(self, begin: float, end: float, _none: None, gradient: Gradient) -> None:
        self._reads[gradient.unit.step] = gradient.unit.version
        unit, what = self._described
        self._slice("added", begin, end, what if unit is gradient.unit else described(gradient.unit))

    def _apply(self, version: int, begin: float, end: float, _stats: RowStats, step: int, *_: object) -> None:
        read = self._reads.pop(step, version - 1)
        self._slice("applied", begin, end, f'{{"step":{step},"version":{version},"read":{read}}}')
        self._lines.append(gradients_line(int(1e6 * end + self._zero), self._unread()))

    def _steps(self, begin: float, end: float, applied: list[Applied], *_: object) -> None:
        if applied:
            self._slice("steps", begin, end, f'{{"step":{applied[0].update.step},"count":{len(applied)}}}')

    def _slice(
        self, name: str, begin: float, end: float, what: str = "{}", pid: int = PROCESSES, tid: int = SERVER
    ) -> None:
        zero = self._zero
        self._lines.append(slice_line(name, pid, tid, int(1e6 * begin + zero), int(1e6 * end + zero), what))

    def _instant(self, name: str, lane: int, moment: float, **arguments: object) -> None:
        """Something rare, which is written at once."""
        self._lines.append(instant_line(name, lane, int(1e6 * moment + self._zero), **arguments))
        self._flush()

    def _place(self) -> int:
        """A free place in the queue."""
        if self._places:
            return self._places.pop()
        self._used += 1
        return self._used - 1

    def _leave(self, unit: Unit) -> tuple[float, int]:
        """Since when a unit was in the queue, and its place, which is free now."""
        found = self._queued.pop(unit)
        self._places.append(found[1])
        return found


def described(unit: Unit) -> str:
    """The arguments of a unit's events, in JSON."""
    step, _, (first, last) = unit
    return f'{{"step":{step},"first":{first},"count":{last - first}}}'
