"""The queues between the plan, the workers and the parameter server, and the messages in them."""

from collections import deque
from typing import NamedTuple

from ddmlp.network import Floats
from ddmlp.plan import Node

CREDITS = 2  # units that one worker may hold unanswered: one to compute, and the next, so that it never waits for it


class Unit(NamedTuple):
    """The message "compute the microbatches of `node` of `step` with the weights of `version`, and add them".

    Pure: computing it twice gives the same bits. It is its own key.
    """

    step: int
    version: int
    node: Node


class Gradient(NamedTuple):
    """The answer to a unit: dE/dW summed over its rows, as the flat buffer of W1 and W2; the error E and the number
    of mistakes summed over them; and who computed it. The buffer is the reader's until the next answer is asked for.
    """

    unit: Unit
    flat: Floats
    error: float
    mistakes: int
    worker: int


class UnitQueue:
    """The units that are asked for and not yet answered, never more than `capacity`.

    A unit waits until a worker with credit takes it, and stays on the books until its first answer comes: a lost one
    is put back, a doubled answer is recognised.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.high_water = 0
        self._waiting: deque[Unit] = deque()
        self._taken: dict[Unit, int] = {}

    @property
    def depth(self) -> int:
        """Units on the books."""
        return len(self._waiting) + len(self._taken)

    @property
    def full(self) -> bool:
        """Whether the sender has to wait for an answer before it puts another unit."""
        return self.depth >= self.capacity

    def put(self, unit: Unit) -> None:
        """Ask for a unit. The queue must not be full."""
        assert not self.full, f"{self.depth} units on the books, of {self.capacity} at most"
        self._waiting.append(unit)
        self.high_water = max(self.high_water, self.depth)

    def take(self, worker: int) -> Unit | None:
        """The next unit for `worker`; None where none waits, or the worker's credits are used up."""
        if not self._waiting or self.credit(worker) == 0:
            return None
        unit = self._waiting.popleft()
        self._taken[unit] = worker
        return unit

    def credit(self, worker: int) -> int:
        """How many more units `worker` may take."""
        return CREDITS - sum(holder == worker for holder in self._taken.values())

    def answered(self, unit: Unit) -> bool:
        """Take a unit off the books; False where it was off them already: a doubled answer."""
        return self._taken.pop(unit, None) is not None

    def lost(self, worker: int) -> list[Unit]:
        """Put back, in front and in order, what a dead worker held; returns it."""
        units = sorted(unit for unit, holder in self._taken.items() if holder == worker)
        for unit in reversed(units):
            del self._taken[unit]
            self._waiting.appendleft(unit)
        return units
