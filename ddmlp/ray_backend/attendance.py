"""Notices workers that do not connect to the server."""

from collections.abc import Collection
from typing import NamedTuple

PATIENCE = 20  # times as long if others are connected: it is not urgent, and a node may read its data for minutes


class Roll(NamedTuple):
    """What a server knows of its workers.

    clock: seconds for which it has waited for messages; connected: the workers; hung: those that were dropped because
    they do not answer, so that their processes may still be alive; parts: how many parts of shards other nodes have
    fetched.
    """

    clock: float
    connected: list[int]
    hung: list[int]
    parts: int


class Attendance:
    """A server does not know of a worker whose process hangs before it connects, or whose relay does. The worker is to
    be replaced; if no other is connected, before the server ends the run."""

    def __init__(self, seconds: float) -> None:
        """seconds: for which a worker may be missing if no other is connected, on the clock of the server. The time in
        which workers fetch data does not count."""
        self._seconds = seconds
        self._since: dict[int, float] = {}  # by missing worker
        self._parts = 0

    def missing(self, roll: Roll, working: Collection[int]) -> list[int]:
        """The workers to be replaced, of those that were sent to the server."""
        if roll.parts != self._parts:
            self._since, self._parts = {}, roll.parts
        absent = set(working).difference(roll.connected)
        # The clock of another server begins at 0.
        self._since = {worker: min(self._since.get(worker, roll.clock), roll.clock) for worker in absent}
        bound = self._seconds * (PATIENCE if roll.connected else 1)
        return sorted(worker for worker, since in self._since.items() if roll.clock >= since + bound)
