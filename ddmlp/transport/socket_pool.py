"""The server's end of the message path: a pool of workers in other processes, connected by sockets."""

import time
from collections.abc import Collection, Sequence
from contextlib import suppress

from ddmlp.config import Timeouts
from ddmlp.errors import ClusterError, DdmlpError
from ddmlp.nn.weights import Floats, Shape, Weights
from ddmlp.training.messages import CREDITS, Gradient, Unit
from ddmlp.training.trace import Trace
from ddmlp.training.unit_queue import UnitQueue
from ddmlp.training.weight_store import WeightStore
from ddmlp.training.worker_pool import EXITED, REJECTED, UNRESPONSIVE, PoolStats
from ddmlp.transport import protocol
from ddmlp.transport.connections import READ, WRITE, Beside, Connections
from ddmlp.transport.counts import Counts
from ddmlp.transport.lost_workers import LostWorkers
from ddmlp.transport.packed_updates import PackedUpdates
from ddmlp.transport.peer import Peer, why_ended
from ddmlp.transport.shared_memory import Region
from ddmlp.transport.tls import Tls
from ddmlp.transport.turns import CORES, TIME_SLICE, Turns

SLOTS = 3  # beyond those that open steps read: the version being written, and two for workers that are behind
NOTHING: tuple[Floats | None, float] = (None, 0.0)  # instead of an array to send, and its step size


class SocketWorkerPool:
    """Workers in other processes; a `WorkerPool`.

    Workers connect to one of `addresses`: a Unix socket on this machine, where arrays are shared, or host and port. A
    worker is accepted if it knows `secret` and would compute the same bits.
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
        """Listen at the addresses. Raises ClusterError.

        capacity: of the queue; window: the maximum number of open steps; cores: the number of workers on this machine
        that compute at a time; time_slice: units after which workers that share a core take turns.
        """
        self._timeouts = timeouts or Timeouts()
        self._queue = UnitQueue(capacity, self._timeouts)
        self._region = Region.create(SLOTS + window, shape.size)
        self.weights = WeightStore(shape, self._region.buffers)
        self._lost = LostWorkers()
        self._connections = Connections(shape, hello, secret, self._region, self._lost, self._timeouts)
        self._peers = self._connections.peers
        self._updates = PackedUpdates(shape, self._peers)
        self.note_update = self._updates.note
        self._turns = Turns(self._peers, self._queue, cores, time_slice)
        self._counts = Counts(self._peers, self._queue, self._lost)
        self._heard = 0.0  # when a worker joined or answered last, on the connections' clock
        try:
            self.addresses = [self.listen(address) for address in addresses]
        except BaseException:
            self.close()
            raise

    @property
    def count(self) -> int:
        """The number of connected workers, also through relays."""
        return self._counts.workers

    @property
    def connections(self) -> int:
        """The number of connections with workers and relays."""
        return len(self._peers)

    @property
    def capacities(self) -> tuple[int, ...]:
        """See `Turns`."""
        return self._turns.capacities

    @property
    def full(self) -> bool:
        """Whether the queue is full."""
        return self._queue.full

    @property
    def stats(self) -> PoolStats:
        """See `Counts`."""
        return self._counts.stats(self._connections.waited)

    def listen(self, address: protocol.Address, tls: Tls | None = None) -> protocol.Address:
        """Also accept workers at `address`; returns the bound address (port 0: a free port). tls: encrypts."""
        return self._connections.listen(address, tls)

    def gather(self, workers: int, timeout: float) -> bool:
        """Accept workers until this number is connected, or for `timeout` seconds; returns whether it is."""
        deadline = time.monotonic() + timeout
        while self.count < workers:
            if not self.serve(deadline):
                return False
        return True

    def serve(self, until: float, beside: Beside | None = None) -> bool:
        """Serve the workers once while no unit is open, waiting at most until a time of `time.monotonic`, or until
        `beside` has data; returns whether one of them has sent something."""
        ready = self._connections.wait(until, beside)
        for key, events in ready:
            if (late := self._attend(key.data, events)) is not None:
                self._queue.accept(late, time.monotonic())
        if not ready:
            self._queue.reissue_overdue(time.monotonic())
            self._drop_late()
        if beside is not None:
            self._heard = self._connections.waited  # no answer is expected
        return bool(ready)

    def submit(self, unit: Unit) -> None:
        """Put a unit into the queue, which must not be full."""
        self._queue.put(unit)

    def next_result(self, timeout: float) -> Gradient | None:
        """The first answer to any unit; None if none arrives within `timeout` seconds.

        Meanwhile units are sent as far as the workers' credits allow, and units of overdue workers again. Raises
        ClusterError if no worker is connected, or none answers, for too long; TrainingError if two workers answer
        differently; and the error of a worker.
        """
        deadline, queue = time.monotonic() + timeout, self._queue
        while True:
            self._hand_out()
            # Fast path: an answer is usually ready, so skip the straggler check.
            ready = self._connections.look() or self._connections.wait(min(deadline, queue.next_deadline()))
            if ready:
                self._counts.note_ready(ready)
                key, events = ready[0]
                if (gradient := self._attend(key.data, events)) is not None:
                    self._heard = self._connections.waited
                    self._counts.note_answer(gradient)
                    self._lost.answered(gradient.unit)
                    if queue.accept(gradient, time.monotonic()):
                        return gradient
            else:
                queue.reissue_overdue(time.monotonic())
                self._drop_late()
                if time.monotonic() >= deadline:
                    self._check_silence()
                    return None

    def reserve_weights(self, keep: Collection[int]) -> Weights:
        """A free slot for the next version. If none is free, the late answers to the oldest version are given up: they
        will not be compared."""
        while True:
            weights = self.weights.reserve(self._queue.versions_in_use().union(keep))
            if weights is not None:
                return weights
            version = self._queue.give_up_oldest()
            for peer in self._peers.values():
                # It has these weights, or is receiving them: a mixture with the next ones, which its checksum rejects.
                if peer.version == version:
                    peer.version = -1

    def publish_weights(self, version: int) -> None:
        """Make the reserved slot readable as the weights of `version`."""
        self.weights.publish(version)
        self._updates.publish(version)

    def observe(self, trace: Trace) -> None:
        """Have a trace record the units and the workers."""
        trace.follow_pool(self._queue, self._connections, unread=lambda: self._counts.unread)

    def close(self) -> None:
        """Tell the workers that no more units follow, and close everything."""
        for peer in self._peers.values():
            with suppress(OSError):  # it may have ended
                peer.wire.send(b"")
        self._connections.close()
        self._region.close()

    def _check_silence(self) -> None:
        bound = self._timeouts.answer if self._peers else self._timeouts.join
        if self._connections.waited - self._heard > bound:
            numbers = sorted(self._peers)
            found = f"none of the workers {numbers} has answered" if numbers else "no worker was connected"
            raise ClusterError(f"{found} for {bound:g} s{self._lost}; the last checkpoint is still valid")

    def _drop_late(self) -> None:
        for peer, reason in self._connections.late(self._queue.unresponsive()):
            self._drop(peer, UNRESPONSIVE, reason)

    def _attend(self, source: object, events: int) -> Gradient | None:
        """Handle a ready socket; returns a complete answer. Raises the error of a worker if the run is at fault."""
        if isinstance(source, Peer):
            return self._exchange(source, events)
        if self._connections.attend(source):
            self._heard = self._connections.waited
        return None

    def _hand_out(self) -> None:
        """Send each worker one unit a round, as far as its credit allows: none is idle while another holds two."""
        queue = self._queue
        for _ in range(CREDITS):
            for peer in self._turns.order():
                if (following := queue.peek()) is None:
                    return
                # Send an array only to an idle worker, so that it never receives one while it sends another.
                behind = peer.region is None and peer.version != following.version
                if behind and queue.current_unit(peer.worker) is not None:
                    continue
                if (unit := queue.take(peer.worker, time.monotonic(), max(1, peer.capacity))) is None:
                    continue
                slot, array = self.weights.slot(unit.version), NOTHING
                if behind:
                    array = self._updates.update_for(peer, unit.version) or (self.weights[unit.version].flat, 0.0)
                try:
                    peer.send(unit, slot, *array)
                except OSError as error:
                    self._drop(peer, EXITED, why_ended(error))
                else:
                    self._connections.note_active(peer)

    def _exchange(self, peer: Peer, events: int) -> Gradient | None:
        """Send unsent data to a worker, and receive."""
        asked, gradient = self._queue.current_unit(peer.worker), None
        try:
            if events & WRITE:
                peer.wire.flush()
            if events & READ:
                gradient = peer.receive(asked)
                self._counts.note_status(peer)
        except (EOFError, OSError, ValueError) as error:
            self._drop(peer, EXITED, why_ended(error))
        except DdmlpError as error:
            self._lost.check_failure(asked, peer.worker, peer.host, error, beside=peer.region is not None)
            self._drop(peer, REJECTED, str(error))
        else:
            self._connections.note_active(peer)
        return gradient

    def _drop(self, peer: Peer, cause: str, reason: str) -> None:
        """Close a worker's connection; its units go back to the queue."""
        if self._connections.remove(peer, cause, reason):
            self._queue.remove_worker(peer.worker)
            if not self._peers:
                self._heard = self._connections.waited  # the time limit for a new worker begins
