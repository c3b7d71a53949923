"""The parameter server's end of the message path: workers in other processes, reached by sockets."""

import os
import selectors
import time
from collections.abc import Collection, Sequence
from contextlib import suppress

from ddmlp.config import Timeouts
from ddmlp.errors import ClusterError, DdmlpError
from ddmlp.nn.weights import Shape, Weights
from ddmlp.training.messages import CREDITS, Gradient, Unit
from ddmlp.training.unit_queue import UnitQueue
from ddmlp.training.weight_store import WeightStore
from ddmlp.training.worker_pool import EXITED, REJECTED, SLOW, PoolStats
from ddmlp.transport import protocol
from ddmlp.transport.listener import HandshakeListener
from ddmlp.transport.lost_workers import LostWorkers
from ddmlp.transport.peer import Peer
from ddmlp.transport.shared_memory import Region

SLOTS = 3  # versions beyond those that open steps read: the one being written, and two for workers that are behind
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1  # of this machine
TIME_SLICE = 256  # units after which workers that share a core take turns


class SocketWorkerPool:
    """Workers in other processes; a `WorkerPool`.

    They connect to one of `addresses`: a Unix socket on this machine, where arrays are shared, or host and port. Each
    proves that it knows `secret`, and is accepted if it would compute the same bits.
    """

    def __init__(
        self,
        shape: Shape,
        hello: protocol.Hello,
        secret: bytes,
        addresses: Sequence[protocol.Address],
        *,
        capacity: int,
        window: int = 1,
        timeouts: Timeouts | None = None,
        cores: int = CORES,
        time_slice: int = TIME_SLICE,
    ) -> None:
        """capacity: of the queue; window: the most open steps; cores: how many workers here compute at a time. Raises
        ClusterError."""
        self._timeouts = timeouts or Timeouts()
        self._cores, self._time_slice = cores, time_slice
        self._queue = UnitQueue(capacity, self._timeouts)
        self._region = Region.create(SLOTS + window, shape.size)
        self.weights = WeightStore(shape, self._region.buffers)
        self._peers: dict[int, Peer] = {}
        self._lost = LostWorkers()
        self._unread = self._unread_high_water = 0
        self._waited = self._silence = 0.0  # seconds: of workers for units; since a worker joined or answered
        self._selector = selectors.DefaultSelector()
        self._listener = HandshakeListener(shape, hello, secret, self._region, self._peers.__contains__, self._timeouts)
        self._selector.register(self._listener.wakeup, selectors.EVENT_READ)
        try:
            self.addresses = [self.listen(address) for address in addresses]
        except BaseException:
            self.close()
            raise

    @property
    def count(self) -> int:
        """How many workers there are."""
        return len(self._peers)

    @property
    def parallel(self) -> int:
        """How many can compute at a time, without overdue ones: those on this machine share its cores."""
        here = sum(peer.region is not None for peer in self._peers.values())
        return min(self.count - self._queue.overdue, min(here, self._cores) + self.count - here)

    @property
    def full(self) -> bool:
        """Whether the queue is full."""
        return self._queue.full

    @property
    def stats(self) -> PoolStats:
        """What was counted so far; `answered` of the workers that are here."""
        queue = self._queue
        return PoolStats(
            self.count,
            queue.depth,
            queue.high_water,
            unread=self._unread,
            unread_high_water=self._unread_high_water,
            reissued=queue.reissued,
            compared=queue.compared,
            waited=self._waited,
            answered={peer.worker: peer.answered for peer in self._peers.values()},
            unresponsive=queue.unresponsive(),
            lost=self._lost.count,
            newest_lost=self._lost.newest,
        )

    def listen(self, address: protocol.Address) -> protocol.Address:
        """Accept workers at `address`, too; returns it, with the port that a port of 0 has become."""
        listener = self._listener.open(address)
        self._selector.register(listener, selectors.EVENT_READ, listener)
        return protocol.address_of(listener)

    def gather(self, workers: int, timeout: float) -> bool:
        """Accept workers until there are so many, or `timeout` seconds have passed; whether they are all here."""
        deadline = time.monotonic() + timeout
        while len(self._peers) < workers:
            ready = self._selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                return False
            for key, _ in ready:
                self._attend(key)  # nothing is asked for: a failure, or a connection's end
        return True

    def submit(self, unit: Unit) -> None:
        """Put a unit into the queue, which must not be full."""
        self._queue.put(unit)

    def next_result(self, timeout: float) -> Gradient | None:
        """The first answer to any unit; None if none arrives within `timeout` seconds. Meanwhile units are given out as
        far as the workers' credits go, also those that overdue workers hold.

        Raises ClusterError if there is no worker, or none answers, for long; TrainingError if two workers answer
        differently; and what a worker has raised.
        """
        deadline, queue = time.monotonic() + timeout, self._queue
        while True:
            self._hand_out()
            # Fast path: an answer is usually ready, so skip the straggler check.
            ready = self._selector.select(0) or self._wait(min(deadline, queue.next_deadline()))
            if ready:
                self._unread = sum(type(key.data) is Peer for key, _ in ready)
                self._unread_high_water = max(self._unread, self._unread_high_water)
                if (gradient := self._attend(ready[0][0])) is not None:
                    self._silence = 0.0
                    self._waited += gradient.waited
                    self._lost.answered(gradient.unit)
                    if queue.accept(gradient, time.monotonic()):
                        return gradient
            else:
                queue.reissue_overdue(time.monotonic())
                if time.monotonic() >= deadline:
                    self._check_silence()
                    return None

    def reserve_weights(self, keep: Collection[int]) -> Weights:
        """A slot for the next version that no worker reads; a worker that is too far behind is dropped for it."""
        while True:
            weights = self.weights.reserve(self._queue.versions_in_use().union(keep))
            if weights is not None:
                return weights
            self._drop(self._peers[self._queue.furthest_behind()], "it was too far behind: its weights had to go", SLOW)

    def publish_weights(self, version: int) -> None:
        """Let workers read the reserved slot as the weights of `version`."""
        self.weights.publish(version)

    def close(self) -> None:
        """Tell the workers that there are no more units, and close everything."""
        self._listener.close()
        for peer in list(self._peers.values()):
            with suppress(OSError):  # it may be gone already
                peer.connection.send_bytes(b"")
            self._drop(peer, "the run has ended")
        self._selector.close()
        self._region.close()

    def _wait(self, until: float) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready, after waiting for it at most until then."""
        start = time.monotonic()
        ready = self._selector.select(max(0.0, until - start))
        self._silence += time.monotonic() - start
        return ready

    def _check_silence(self) -> None:
        bound = self._timeouts.answer if self._peers else self._timeouts.join
        if self._silence > bound:
            numbers = sorted(self._peers)
            found = f"none of the workers {numbers} has answered" if numbers else "there has been no worker"
            raise ClusterError(f"{found} for {bound:g} s{self._lost}; the last checkpoint stands")

    def _attend(self, key: selectors.SelectorKey) -> Gradient | None:
        """Handle a socket that is ready; returns an answer if that is what has come."""
        if isinstance(key.data, Peer):
            return self._receive(key.data)
        if key.fileobj is not self._listener.wakeup:
            self._listener.accept(key.data)
            return None
        self._lost.add_all(self._listener.take_rejected())
        for peer in self._listener.take_ready():
            if peer.worker in self._peers:  # two have come at once
                peer.close()
                continue
            self._peers[peer.worker] = peer
            self._selector.register(peer.connection, selectors.EVENT_READ, peer)
            self._silence = 0.0
        return None

    def _hand_out(self) -> None:
        """Give each worker what it may take, one unit a round, so that none is idle while another holds two."""
        queue = self._queue
        for _ in range(CREDITS):
            for peer in self._turns():
                if (following := queue.peek()) is None:
                    return
                # An array goes only to a worker that waits for a unit, and so reads: neither end can block the other.
                behind = peer.region is None and peer.version != following.version
                if behind and queue.current_unit(peer.worker) is not None:
                    continue
                if (unit := queue.take(peer.worker, time.monotonic())) is None:
                    continue
                try:
                    peer.send(
                        unit, self.weights.slot(unit.version), self.weights[unit.version].flat if behind else None
                    )
                except OSError as error:
                    self._drop(peer, f"its connection has ended: {error}")

    def _turns(self) -> list[Peer]:
        """The workers as they are given units: as many here as there are cores come first, and the same ones for a time
        slice, because more would only cool the caches."""
        peers = sorted(self._peers.values(), key=lambda peer: (peer.answered // self._time_slice, peer.worker))
        here = [peer for peer in peers if peer.region is not None]
        return [peer for peer in peers if peer not in here[self._cores :]] + here[self._cores :]

    def _receive(self, peer: Peer) -> Gradient | None:
        """The answer that has come from `peer`; None if it is lost instead. Raises its error if that is the run's."""
        asked = self._queue.current_unit(peer.worker)
        try:
            return peer.receive(asked)
        except (EOFError, OSError, ValueError) as error:
            self._drop(peer, protocol.printable(str(error)) or "its connection has ended")
        except DdmlpError as error:
            self._lost.check_failure(asked, peer.worker, peer.host, error, beside=peer.region is not None)
            self._drop(peer, str(error), REJECTED)
        return None

    def _drop(self, peer: Peer, reason: str, cause: str = EXITED) -> None:
        """Close a worker's connection; what it holds goes back to the queue."""
        if self._peers.pop(peer.worker, None) is not None:
            self._selector.unregister(peer.connection)
            peer.close()
            self._lost.add(peer.worker, peer.host, cause, reason)
            self._queue.remove_worker(peer.worker)
            if not self._peers:
                self._silence = 0.0  # another bound begins, that for a new worker
