"""Traces made by hand: their units and moments are known exactly."""

import json
from pathlib import Path
from typing import Any

COMPUTING = 400  # microseconds for a unit


class HandTrace:
    """The trace of a run with a server and workers, whose units take as long as they are told to.

    Each step has a unit for each worker that is there, in the order of the lanes; times are microseconds.
    """

    def __init__(self, workers: int = 3, start: int = 10**15) -> None:
        self.events: list[dict[str, Any]] = []
        self.lanes = {worker + 1: worker for worker in range(workers)}
        self.now, self.step_number = start, 0
        self.busy: dict[int, int] = {}  # until when the worker of a lane has a unit that nobody waits for
        self.moment("start", 0, step=0)
        for lane, worker in self.lanes.items():
            self.moment("joined", lane, worker=worker)

    def step(self, *, overtaken: int = 0, killed: int = 0, stopped: int = 30_000) -> None:
        """A step. overtaken: the lane whose worker does not answer for `stopped` microseconds; the first other one gets
        its unit, too. killed: the lane whose worker dies; the first other one gets its unit."""
        begin, step = self.now, self.step_number
        lanes = [lane for lane in self.lanes if self.busy.get(lane, 0) <= begin]
        helper = next(lane for lane in lanes if lane not in (overtaken, killed))
        end = begin
        late: list[tuple[int, int]] = []  # what is not answered: the unit's place and its lane
        for first, lane in enumerate(lanes):
            if lane in (overtaken, killed):
                late.append((first, lane))
            else:
                end = max(end, self._unit(step, first, lane, begin, begin + 20 + 10 * first))
        if overtaken or killed:
            ((first, lane),) = late
            back = begin + (25_000 if overtaken else 300)
            worker = self.lanes[lane]
            if overtaken:
                self.moment("overtaken", lane, back, step=step, first=first, count=1, worker=worker)
            else:
                self._held(step, first, lane, begin, begin + 40, back)
                self.moment("death", lane, back, worker=worker, cause="exited", reason="its connection ended")
                del self.lanes[lane]
            end = self._unit(step, first, helper, back, back + 30)
            if overtaken:
                self.busy[lane] = self._unit(step, first, lane, begin, begin + 40, computing=stopped, added=False)
        self._slice("applied", 1, 0, end, 100, step=step, version=step + 1, read=step)
        self.now, self.step_number = end + 150, step + 1

    def join(self, worker: int) -> None:
        """A worker joins, on the lowest free lane."""
        lane = next(each for each in range(1, 99) if each not in self.lanes)
        self.lanes = dict(sorted({**self.lanes, lane: worker}.items()))
        self.moment("joined", lane, worker=worker)

    def moment(self, name: str, lane: int, at: int | None = None, **known: Any) -> None:
        event = {"ph": "i", "s": "t", "name": name, "pid": 1, "tid": lane, "ts": self.now if at is None else at}
        self.events.append({**event, "args": known})

    def write(self, run: Path) -> None:
        """Write the file of a run, as the run does while it lasts: without the last bracket."""
        lines = "".join(json.dumps(each, separators=(",", ":")) + ",\n" for each in self.events)
        (run / "trace.json").write_text("[\n" + lines)

    def _held(self, step: int, first: int, lane: int, queued: int, taken: int, until: int) -> None:
        unit = {"step": step, "first": first, "count": 1}
        self._slice("queued", 2, first, queued, taken - queued, **unit)
        self._slice("taken", 3, 2 * lane, taken, until - taken, **unit)

    def _unit(
        self,
        step: int,
        first: int,
        lane: int,
        queued: int,
        taken: int,
        computing: int = COMPUTING,
        *,
        added: bool = True,
    ) -> int:
        """A unit that is answered; returns when it is added."""
        unit = {"step": step, "first": first, "count": 1}
        self._held(step, first, lane, queued, taken, taken + 30)
        self._slice("read", 1, lane, taken + 30, 20, **unit)
        self._slice("computed", 1, lane, taken + 50, computing, **unit, worker=self.lanes[lane])
        sent = taken + 50 + computing
        self._slice("sent", 3, 2 * lane, sent, 60, **unit)
        if added:
            self._slice("added", 1, 0, sent + 60, 10, **unit)
        return sent + 70

    def _slice(self, name: str, pid: int, lane: int, begin: int, lasts: int, **known: Any) -> None:
        event = {"ph": "X", "name": name, "pid": pid, "tid": lane, "ts": begin, "dur": lasts}
        self.events.append({**event, "args": known})
