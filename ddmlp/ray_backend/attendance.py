"""Notices that no worker connects to the server."""

from typing import NamedTuple


class Roll(NamedTuple):
    """What a server knows of its workers.

    alone: seconds for which it has waited without any; hung: those that were dropped because they do not answer, so
    that their processes may still be alive; parts: how many parts of shards other nodes have fetched.
    """

    alone: float
    hung: list[int]
    parts: int


class Attendance:
    """A server does not know of a worker whose process hangs before it connects. If no other worker is connected
    either, all are to be replaced before the server ends the run."""

    def __init__(self, seconds: float) -> None:
        """seconds: for which a server may be without workers. The time in which workers fetch data does not count."""
        self._seconds = seconds
        self._since = 0.0  # what `alone` was when workers were replaced, or had fetched something
        self._parts = 0

    def missed(self, roll: Roll) -> bool:
        """Whether all workers are to be replaced."""
        if roll.alone < self._since:  # a worker was connected meanwhile
            self._since = 0.0
        if roll.parts != self._parts:
            self._since, self._parts = roll.alone, roll.parts
        if roll.alone < self._since + self._seconds:
            return False
        self._since = roll.alone
        return True
