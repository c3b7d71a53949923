"""The workers that a group has lost, and the nodes that get no more."""

from collections import Counter

from ddmlp.errors import ClusterError
from ddmlp.training.worker_pool import EXITED, REJECTED, UNRESPONSIVE, LostWorker

CAUSES = (EXITED, UNRESPONSIVE, REJECTED)  # of the loss of a worker
NODE = "ray.io/node-id"  # the label that Ray gives each node


class Losses:
    """Counts lost workers by their causes. reason: the last one, in words.

    A node on which a worker raises an error gets no other worker: it lacks the data, or computes other bits.
    """

    def __init__(self, max_deaths: int) -> None:
        """max_deaths: how many workers may be lost without a completed step, on average per worker."""
        self.counts: Counter[str] = Counter()
        self.reason = ""
        self._max_deaths = max_deaths
        self._rejecting: set[str] = set()  # nodes that get no more workers
        self._rejected: list[LostWorker] = []  # since the last call of `rejected`
        self._without_step = 0

    def note(self, workers: int) -> None:
        """Note that a worker or a relay is lost; workers: the largest number at a time so far. Raises ClusterError if
        too many are."""
        self._without_step += 1
        if self._without_step > self._max_deaths * workers:
            raise ClusterError(
                f"{self._without_step} workers were lost without completing a step; last error: {self.reason}"
            )

    def note_step(self) -> None:
        """Note that a step is complete."""
        self._without_step = 0

    def reject(self, worker: int, node: str, host: str, reason: str) -> None:
        """Note that a worker cannot work on its node, which gets no other."""
        self._rejecting.add(node)
        self.reason = reason
        self._rejected.append(LostWorker(worker, host, REJECTED, reason))

    def rejected(self) -> list[LostWorker]:
        """The workers rejected since the last call."""
        found, self._rejected = self._rejected, []
        return found

    def all_reject(self, nodes: set[str]) -> bool:
        """Whether none of these nodes may get a worker."""
        return nodes <= self._rejecting

    @property
    def selectors(self) -> list[dict[str, str]] | None:
        """The label selectors of nodes that may get a worker; None if all may."""
        return [{NODE: f"!in({', '.join(sorted(self._rejecting))})"}] if self._rejecting else None
