"""The turns of a pool's connections: which get units, in which order, and how large the units should be."""

import os
from collections.abc import Mapping

from ddmlp.training.unit_queue import UnitQueue
from ddmlp.transport.peer import Peer

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1  # of this machine
TIME_SLICE = 256  # units after which workers that share a core take turns


class Turns:
    """The workers on this machine share its cores, so only one a core gets units, the same ones for a time slice: more
    would evict each other's caches.

    Parameters
    ----------
    peers : mapping of int to Peer
        The connected workers and relays.
    queue : UnitQueue
        Tells which of them are overdue or resting.
    cores : int
        The number of workers on this machine that compute at a time.
    time_slice : int
        Units after which workers that share a core take turns.
    """

    def __init__(self, peers: Mapping[int, Peer], queue: UnitQueue, cores: int, time_slice: int) -> None:
        self._peers, self._queue, self._cores, self._time_slice = peers, queue, cores, time_slice

    @property
    def capacities(self) -> tuple[int, ...]:
        """The numbers of workers behind the connections that get units; see `WorkerPool`."""
        able = [peer for peer in self._peers.values() if self._queue.available(peer.worker) and peer.capacity]
        far = sorted((peer.capacity for peer in able if not _here(peer)), reverse=True)
        return (*far, *(1,) * min(len(able) - len(far), self._cores))

    def order(self) -> list[Peer]:
        """The connections in the order in which they get units. Those with more workers come first, because they get
        larger units; then, on this machine, one worker a core."""
        peers = sorted(
            self._peers.values(), key=lambda peer: (-peer.capacity, peer.answered // self._time_slice, peer.worker)
        )
        here = [peer for peer in peers if _here(peer)]
        return [peer for peer in peers if peer not in here[self._cores :]] + here[self._cores :]


def _here(peer: Peer) -> bool:
    """Whether it is a worker on this machine."""
    return peer.region is not None and not peer.relay
