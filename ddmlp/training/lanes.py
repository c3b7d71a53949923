"""The lanes of a trace: one for each worker at a time."""

from ddmlp.runs.trace_events import NAMES, PROCESSES, SERVER, WAY, name_line
from ddmlp.training.messages import CREDITS
from ddmlp.training.worker_pool import name_of


class Lanes:
    """Gives each worker a lane. A replacement gets the first lane that is free.

    >>> lanes = Lanes(workers=2)
    >>> lanes.of(1), lanes.of(0)
    (2, 1)
    >>> lanes.free(1)
    >>> lanes.of(5), lanes.of(0)
    (2, 1)
    """

    def __init__(self, workers: int) -> None:
        """workers: the most at a time; these begin in the order of their numbers."""
        self._workers = workers
        self._lanes: dict[int, int] = {}
        self._names: dict[int, str] = {}
        self._new: set[int] = set()  # lanes whose names are new
        self._ends: dict[int, float] = {}  # of the last slice of each lane
        self._messages: dict[int, int] = {}  # units that each lane was sent

    def of(self, worker: int) -> int:
        """The lane of a worker; a new one has a name from then on."""
        if worker not in self._lanes:
            used = {*self._lanes.values()}
            lane = worker + 1
            if not 0 <= worker < self._workers or lane in used:
                lane = next(each for each in range(1, len(used) + 2) if each not in used)
            before = self._names.get(lane, "")
            self._lanes[worker] = lane
            self._names[lane] = f"{name_of(worker)}, before: {before.split(',')[0]}" if before else name_of(worker)
            self._new.add(lane)
        return self._lanes[worker]

    def free(self, worker: int) -> None:
        """End the lane of a worker, if it has one."""
        self._lanes.pop(worker, None)

    def after(self, lane: int, moment: float) -> float:
        """This moment, or the end of the last slice of a lane, if that is later."""
        return max(moment, self._ends.get(lane, 0.0))

    def occupy(self, lane: int, until: float) -> None:
        """Note the end of a slice of a lane."""
        self._ends[lane] = until

    def way(self, lane: int) -> int:
        """The track for the messages of the next unit: a worker has `CREDITS` units at a time, each on another one."""
        count = self._messages[lane] = self._messages.get(lane, -1) + 1
        return CREDITS * lane + count % CREDITS

    def names(self) -> str:
        """The events that name all tracks."""
        lines = [name_line("process", pid, 0, name) for pid, name in NAMES.items()]
        lines.append(name_line("thread", PROCESSES, SERVER, "server"))
        return "".join(lines) + self._named(sorted(self._names))

    def new_names(self) -> str:
        """The events that name the lanes which have a new name since the last call."""
        new, self._new = self._new, set()
        return self._named(sorted(new))

    def _named(self, lanes: list[int]) -> str:
        lines = []
        for lane in lanes:
            lines.append(name_line("thread", PROCESSES, lane, self._names[lane]))
            lines += [name_line("thread", WAY, CREDITS * lane + each, self._names[lane]) for each in range(CREDITS)]
        return "".join(lines)
