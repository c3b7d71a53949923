"""The counts of a pool, those behind its relays among them."""

from collections.abc import Mapping

from ddmlp.training.messages import Gradient
from ddmlp.training.unit_queue import UnitQueue
from ddmlp.training.worker_pool import PoolStats
from ddmlp.transport import protocol
from ddmlp.transport.connections import READ, Ready
from ddmlp.transport.lost_workers import LostWorkers
from ddmlp.transport.peer import Peer


class Counts:
    """Counts what is not known elsewhere, and puts it together with the rest.

    Parameters
    ----------
    peers : mapping of int to Peer
        The connected workers and relays.
    queue : UnitQueue
        The queue of units.
    lost : LostWorkers
        The lost workers.

    Attributes
    ----------
    unread : int
        Workers with an unread answer at the last check.
    """

    def __init__(self, peers: Mapping[int, Peer], queue: UnitQueue, lost: LostWorkers) -> None:
        self._peers, self._queue, self._lost = peers, queue, lost
        self.unread = self._unread_high_water = 0
        self._reissued = self._compared = 0  # behind relays
        self._waited = 0.0  # seconds of workers for units

    @property
    def workers(self) -> int:
        """The number of connected workers, also behind relays."""
        return sum(len(peer.workers) for peer in [*self._peers.values()])

    def note_ready(self, ready: Ready) -> None:
        """Count the unread answers among the sockets that are ready."""
        self.unread = sum(isinstance(key.data, Peer) and bool(events & READ) for key, events in ready)
        self._unread_high_water = max(self.unread, self._unread_high_water)

    def note_answer(self, gradient: Gradient) -> None:
        """Count the time for which a worker was idle before it computed a gradient."""
        self._waited += gradient.waited

    def note_status(self, peer: Peer) -> None:
        """Count what a relay has reported, if it has, and take it."""
        status, peer.status = peer.status, None
        if status is not None:
            for each in status.lost:
                self._lost.add(each.worker, peer.host, each.cause, protocol.printable(each.reason))
            self._reissued += status.reissued
            self._compared += status.compared

    def stats(self, clock: float) -> PoolStats:
        """All counts; `answered` is of the connected workers. Other threads may ask, too. clock: see `PoolStats`."""
        queue, peers = self._queue, [*self._peers.values()]
        return PoolStats(
            self.workers,
            queue.depth,
            queue.high_water,
            unread=self.unread,
            unread_high_water=self._unread_high_water,
            reissued=queue.reissued + self._reissued,
            compared=queue.compared + self._compared,
            waited=self._waited,
            answered={worker: count for peer in peers for worker, count in peer.workers.items()},
            overdue=queue.overdue,
            lost=self._lost.count,
            newest_lost=self._lost.newest,
            clock=clock,
        )
