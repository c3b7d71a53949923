"""The seam between the loop and those who compute."""

from collections.abc import Collection
from typing import Protocol

from ddmlp.nn.weights import Weights
from ddmlp.training.messages import Gradient
from ddmlp.training.unit_queue import UnitQueue


class WorkerPool(Protocol):
    """The workers, in this process or anywhere."""

    @property
    def count(self) -> int:
        """How many there are now."""

    @property
    def parallel(self) -> int:
        """How many of them can compute at a time."""

    @property
    def unread(self) -> tuple[int, int]:
        """How many of them had an answer that lay unread when there was last looked, and the most so far."""

    @property
    def answered(self) -> dict[int, int]:
        """How many units each of them has answered."""

    def reserve(self, queue: UnitQueue, keep: Collection[int] = ()) -> Weights:
        """Where the next version of the weights is to be written: no worker reads there, nor does it hold a version to
        `keep`. It may hold the newest, which is then changed in place."""

    def publish(self, version: int) -> None:
        """Let the workers see what was written there as the weights of `version`."""

    def exchange(self, queue: UnitQueue, seconds: float) -> Gradient | None:
        """Hand out units as far as the workers' credits go, and wait for an answer; None where none comes in time."""

    def close(self) -> None:
        """Let the workers go."""
