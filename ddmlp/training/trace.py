"""A trace of a run: what the server and each worker did when, as events for a viewer of traces.

It observes the objects that do the work. They know nothing of it, so nothing of it can reach the weights.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from ddmlp.plan.row_stats import RowStats
from ddmlp.runs.trace_events import (
    ADDED,
    APPLIED,
    PROCESSES,
    QUEUE,
    SERVER,
    TEMPLATES,
    UNIT,
    WAY,
    instant_line,
    slice_line,
)
from ddmlp.runs.trace_file import MAX_BYTES, TraceFile
from ddmlp.runs.trace_text import Writer
from ddmlp.training.lanes import Lanes
from ddmlp.training.loop import Applied, Loop
from ddmlp.training.messages import Gradient, Unit
from ddmlp.training.observe import Record, observe, record, replay
from ddmlp.training.parameter_server import ParameterServer
from ddmlp.training.recorder import Recorder
from ddmlp.training.unit_queue import UnitQueue

MAX_RECORDS = 16_384  # calls that are not written yet: of several seconds, unless steps are very short


class Connected(Protocol):
    """What has joined: a worker or a relay."""

    worker: int
    host: str


class Trace:
    """Records the units, the queues, the updates, and the workers that join and die.

    Times are those of the server's clock, `time.monotonic`. Processes of one machine share it, so the times of a worker
    there count as they are. Those of a worker on another machine are shifted, so that its unit was computed when the
    answer arrived: how long the message took is not known.

    In a step, calls are only recorded. What they mean is worked out for many steps at once, when the trace is written:
    code that runs once a step is slow, because the arithmetic has evicted it from the caches.
    """

    def __init__(self, folder: Path, step: int, workers: int, most: int = MAX_BYTES) -> None:
        """Continue the trace in a run's folder, or begin one. step: the position; workers: the most at a time."""
        self._file = TraceFile(folder, most)
        self._zero = 1e6 * (time.time() - time.monotonic())  # of the clock, in microseconds since 1970
        self._lanes = Lanes(workers)
        self._places: list[int] = []  # free places in the queue, of the first `_used`
        self._used = 0
        self._queued: dict[Unit, tuple[float, int]] = {}  # since when, and the place
        self._taken: dict[tuple[int, Unit], tuple[float, int, float]] = {}  # and when it was taken
        self._reads: dict[int, int] = {}  # the version that each open step reads
        self._writer = Writer(TEMPLATES, self._zero)
        # What is not written yet: calls, the numbers that they have become, and the lines.
        self._records: list[Record] = []
        self._numbers: list[float] = []
        self._lines: list[bytes] = []
        self._unread: Callable[[], int] = int
        self._instant("restart" if self._file.begun else "start", SERVER, time.monotonic(), step=step)
        self._flush()

    def follow_pool(self, queue: UnitQueue, connections: object, unread: Callable[[], int]) -> None:
        """Record the units of a queue, and the workers. connections: with the methods `attend`, which returns a worker
        that has joined, and `remove`; unread: returns the number of answers that wait for the server."""
        self._unread = unread
        record(queue, "put", self._put, self._records)
        record(queue, "take", self._take, self._records)
        record(queue, "accept", self._accept, self._records)
        record(queue, "remove_worker", self._remove, self._records)
        record(queue, "reissue_overdue", self._reissue, self._records)
        observe(connections, "attend", self._join)
        observe(connections, "remove", self._lose)

    def follow_server(self, server: ParameterServer) -> None:
        """Record what a server adds and applies."""
        record(server, "receive", self._add, self._records)
        observe(server, "apply_step", lambda *seen: self._note_step(server.version, *seen))

    def follow_steps(self, loop: Loop) -> None:
        """Record the steps of a loop in one process."""
        observe(loop, "advance", self._steps)

    def follow_recorder(self, recorder: Recorder) -> None:
        """Record checkpoints and tests, and write the trace with each report."""
        observe(recorder, "save_checkpoint", lambda begin, end, *_: self._pause("checkpoint", begin, end))
        observe(recorder, "end_epoch", lambda begin, end, *_: self._pause("test", begin, end))
        observe(recorder, "report", lambda *_: self._flush())

    def _flush(self) -> None:
        """Write what is not written yet."""
        replay(self._records)
        self._line("")
        if any(self._lines):
            self._file.write(b"".join([self._lanes.new_names().encode(), *self._lines]), self._lanes.names)
        self._lines.clear()

    def _join(self, _begin: float, end: float, peer: Connected | None, *_: object) -> None:
        if peer is not None:
            self._attendance("joined", end, peer, host=peer.host)

    def _lose(self, _begin: float, end: float, lost: bool, peer: Connected, cause: str, reason: str) -> None:
        if lost:
            self._attendance("death", end, peer, cause=cause, reason=reason)

    def _attendance(self, name: str, moment: float, peer: Connected, **arguments: object) -> None:
        """A worker has joined or is lost: this is written at once."""
        replay(self._records)  # a lane may be free since then
        self._instant(name, self._lanes[peer.worker].number, moment, worker=peer.worker, **arguments)
        self._flush()

    def _put(self, begin: float, _end: float, _none: None, unit: Unit) -> None:
        self._queued[unit] = begin, self._place()

    def _take(self, _begin: float, end: float, unit: Unit | None, worker: int, *_: object) -> None:
        if unit is not None:
            self._taken[worker, unit] = *self._leave(unit), end

    def _accept(self, _begin: float, now: float, _first: bool, gradient: Gradient, *_: object) -> None:
        unit, worker, times = gradient.unit, gradient.worker, gradient.times
        if unit in self._queued:  # it was about to be computed again
            self._leave(unit)
        held = len(self._taken)
        queued, place, taken = self._taken.pop((worker, unit))
        begun, found, computed = times or (now, now, now)
        if begun < taken or computed > now:  # another machine's clock
            shift = now - computed
            begun, found, computed = max(taken, begun + shift), max(taken, found + shift), now
        lane = self._lanes[worker]
        if begun < lane.end:
            begun = lane.end
            found = max(begun, found)
            computed = max(found, computed)
        lane.end = computed
        step, (first, last) = unit.step, unit.node
        moments = queued, taken, begun, found, computed, now
        tracks = place, lane.way(), lane.number, worker
        self._numbers += (UNIT, *moments, *tracks, step, first, last - first, len(self._queued), held)

    def _remove(self, _begin: float, end: float, back: list[Unit], worker: int) -> None:
        """A worker is removed: its units end with it."""
        for key in [key for key in self._taken if key[0] == worker]:
            unit, (queued, place, taken) = key[1], self._taken.pop(key)
            way = self._lanes[worker].way()
            self._slice("queued", queued, taken, described(unit), QUEUE, place)
            self._slice("taken", taken, end, described(unit), WAY, way)
        self._lanes.free(worker)
        self._again(back, end)

    def _reissue(self, _begin: float, end: float, back: list[Unit], *_: object) -> None:
        holders = {unit: worker for worker, unit in self._taken}
        for unit in back:
            where = {"step": unit.step, "first": unit.node.lo, "count": unit.microbatches, "worker": holders[unit]}
            self._instant("overtaken", self._lanes[holders[unit]].number, end, **where)
        self._again(back, end)

    def _again(self, units: Sequence[Unit], now: float) -> None:
        """Units are in the queue again."""
        for unit in units:
            self._queued[unit] = now, self._place()

    def _add(self, begin: float, end: float, _none: None, gradient: Gradient) -> None:
        step, version, (first, last) = gradient.unit
        self._reads[step] = version
        self._numbers += (ADDED, begin, end, step, first, last - first)

    def _note_step(self, version: int, begin: float, end: float, _stats: RowStats, step: int, *_: object) -> None:
        self._records.append((self._apply, begin, end, self._unread(), (step, version)))
        if len(self._records) > MAX_RECORDS:
            self._flush()

    def _apply(self, begin: float, end: float, unread: int, step: int, version: int) -> None:
        self._numbers += (APPLIED, begin, end, step, version, self._reads.pop(step, version - 1), unread)

    def _steps(self, begin: float, end: float, applied: list[Applied], *_: object) -> None:
        if applied:
            self._slice("steps", begin, end, f'{{"step":{applied[0].update.step},"count":{len(applied)}}}')

    def _pause(self, name: str, begin: float, end: float) -> None:
        """The server did something other than a step."""
        replay(self._records)
        self._slice(name, begin, end)

    def _slice(
        self, name: str, begin: float, end: float, what: str = "{}", pid: int = PROCESSES, tid: int = SERVER
    ) -> None:
        zero = self._zero
        self._line(slice_line(name, pid, tid, int(1e6 * begin + zero), int(1e6 * end + zero), what))

    def _instant(self, name: str, lane: int, moment: float, **arguments: object) -> None:
        self._line(instant_line(name, lane, int(1e6 * moment + self._zero), **arguments))

    def _line(self, line: str) -> None:
        """Add a line after the numbers before it."""
        self._lines += self._writer.text(self._numbers), line.encode()
        self._numbers.clear()

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
