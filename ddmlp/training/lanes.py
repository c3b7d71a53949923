"""The lanes of a trace: one for each worker at a time."""

from ddmlp.runs.trace_events import NAMES, PROCESSES, SERVER, WAY, name_line
from ddmlp.training.messages import CREDITS
from ddmlp.training.worker_pool import name_of


class Lane:
    """The lane of a worker, and of those that it replaces. end: of its last slice."""

    def __init__(self, number: int) -> None:
        self.number, self.name, self.end, self._sent = number, "", 0.0, 0

    def way(self) -> int:
        """The track for the messages of the next unit: a worker has `CREDITS` units at a time, each on another one."""
        self._sent += 1
        return CREDITS * self.number + self._sent % CREDITS


class Lanes:
    """Gives each worker a lane. A replacement gets the first lane that is free.

    >>> lanes = Lanes(workers=2)
    >>> lanes[1].number, lanes[0].number
    (2, 1)
    >>> lanes.free(1)
    >>> lanes[5].number, lanes[0].number
    (2, 1)
    """

    def __init__(self, workers: int) -> None:
        """workers: the most at a time; these begin in the order of their numbers."""
        self._workers = workers
        self._used: dict[int, Lane] = {}  # by worker
        self._lanes: dict[int, Lane] = {}  # all, by number
        self._new: set[int] = set()  # lanes whose names are new

    def __getitem__(self, worker: int) -> Lane:
        """The lane of a worker; a new one has a name from then on."""
        return self._used.get(worker) or self._begin(worker)

    def _begin(self, worker: int) -> Lane:
        used = {lane.number for lane in self._used.values()}
        number = worker + 1
        if not 0 <= worker < self._workers or number in used:
            number = next(each for each in range(1, len(used) + 2) if each not in used)
        lane = self._used[worker] = self._lanes.setdefault(number, Lane(number))
        before = lane.name.split(",")[0]
        lane.name = f"{name_of(worker)}, before: {before}" if before else name_of(worker)
        self._new.add(number)
        return lane

    def free(self, worker: int) -> None:
        """End the lane of a worker, if it has one."""
        self._used.pop(worker, None)

    def names(self) -> str:
        """The events that name all tracks."""
        lines = [name_line("process", pid, 0, name) for pid, name in NAMES.items()]
        lines.append(name_line("thread", PROCESSES, SERVER, "server"))
        return "".join(lines) + self._named(sorted(self._lanes))

    def new_names(self) -> str:
        """The events that name the lanes which have a new name since the last call."""
        new, self._new = self._new, set()
        return self._named(sorted(new))

    def _named(self, lanes: list[int]) -> str:
        lines = []
        for lane in lanes:
            name = self._lanes[lane].name
            lines.append(name_line("thread", PROCESSES, lane, name))
            lines += [name_line("thread", WAY, CREDITS * lane + each, name) for each in range(CREDITS)]
        return "".join(lines)
