"""The parameter server's end of the message path: hands units out to workers elsewhere, and takes their answers."""

import os
import selectors
import struct
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from itertools import chain

from ddmlp import errors
from ddmlp.errors import ClusterError, DdmlpError
from ddmlp.nn.weights import Shape, Weights
from ddmlp.training.messages import CREDITS, Gradient
from ddmlp.training.unit_queue import UnitQueue
from ddmlp.transport import protocol
from ddmlp.transport.listener import HandshakeListener, Peer
from ddmlp.transport.shared_memory import Region

ANSWER_SECONDS = 600  # the longest that no worker at all may answer, before the run is given up
JOIN_SECONDS = 60  # the longest that there may be no worker
# Versions of the weights in shared memory beyond those that open steps read: the next while it is written, and two that
# workers which have fallen behind still read.
SLOTS = 3


CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1  # of this machine
STINT = 256  # units after which workers that share a core take turns


class SocketWorkerPool:
    """Workers in other processes; implements the trainer's seam.

    They connect to one of `addresses`: a Unix socket for those on this machine, with whom the arrays are shared, and
    host and port for others, to whom arrays are sent. Each proves that it knows `secret`, and is let in if it would
    compute the same bits as everyone else.
    """

    def __init__(
        self,
        shape: Shape,
        hello: protocol.Hello,
        secret: bytes,
        addresses: Sequence[protocol.Address],
        *,
        window: int = 1,
    ) -> None:
        """window: the most steps that are open at a time."""
        slots = SLOTS + window
        self._region = Region.create(slots, shape.size)
        self._slots = [Weights(shape, buffer) for buffer in self._region.buffers]
        self._versions = [-1] * slots  # of the weights in each slot
        self._newest = 0  # slot
        self._reserved = 0  # slot
        self._peers: dict[int, Peer] = {}
        self.unread = (0, 0)
        self._silence = 0.0  # seconds waited since a worker joined or answered
        self._selector = selectors.DefaultSelector()
        self._door = HandshakeListener(shape, hello, secret, self._region, self._peers.__contains__)
        self._selector.register(self._door.bell, selectors.EVENT_READ)
        self.addresses = [self.listen(address) for address in addresses]

    @property
    def count(self) -> int:
        """How many workers there are."""
        return len(self._peers)

    @property
    def parallel(self) -> int:
        """How many of them can compute at a time: those on this machine share its cores."""
        here = sum(peer.region is not None for peer in self._peers.values())
        return min(here, CORES) + self.count - here

    @property
    def answered(self) -> dict[int, int]:
        """How many units each worker that is here has answered."""
        return {peer.worker: peer.answered for peer in self._peers.values()}

    def listen(self, address: protocol.Address) -> protocol.Address:
        """Let workers connect at `address`, too; returns it, with the port that a port of 0 has become."""
        listener = self._door.open(address)
        self._selector.register(listener, selectors.EVENT_READ, listener)
        found: protocol.Address = listener.getsockname()
        return found

    def gather(self, workers: int, seconds: float) -> bool:
        """Let workers in until there are so many, or `seconds` have passed; whether they are all here."""
        deadline, nothing = time.monotonic() + seconds, UnitQueue(0)
        while len(self._peers) < workers:
            ready = self._selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                return False
            for key, _ in ready:
                self._attend(key, nothing)  # nothing is asked for: a failure, or a connection's end
        return True

    def reserve(self, queue: UnitQueue, keep: Collection[int] = ()) -> Weights:
        """A slot for the next version that nobody reads; a worker that has fallen too far behind is dropped for it."""
        while True:
            read = queue.versions().union(keep)
            # The newest version's own, if it can be: it is in the caches.
            for slot in chain([self._newest], range(len(self._versions))):
                if self._versions[slot] not in read:
                    self._reserved, self._versions[slot] = slot, -1
                    return self._slots[slot]
            last = queue.furthest_behind()
            self._drop(self._peers[last])
            queue.lost(last)

    def publish(self, version: int) -> None:
        """What stands in the reserved slot is the weights of `version`."""
        self._versions[self._reserved] = version
        self._newest = self._reserved

    def exchange(self, queue: UnitQueue, seconds: float) -> Gradient | None:
        """Hand out units as far as the workers' credits go, and wait for an answer; None where none comes in time.

        What an overdue worker holds is given to others meanwhile. Raises ClusterError where there is no worker, or none
        answers, within a bound; and what a worker raised.
        """
        deadline = time.monotonic() + seconds
        while True:
            self._hand_out(queue)
            # Most often somebody has answered already, and nobody has to be looked at for how late he is.
            ready = self._selector.select(0) or self._wait(min(deadline, queue.due()))
            if ready:
                unread = sum(type(key.data) is Peer for key, _ in ready)
                self.unread = unread, max(unread, self.unread[1])
                if (gradient := self._attend(ready[0][0], queue)) is not None:
                    self._silence = 0.0
                    return gradient
            else:
                queue.reissue(time.monotonic())
                if time.monotonic() >= deadline:
                    self._check_silence()
                    return None

    def close(self) -> None:
        self._door.close()
        for peer in list(self._peers.values()):
            with suppress(OSError):  # it may be gone already
                peer.connection.send_bytes(b"")
            self._drop(peer)
        self._selector.close()
        self._region.close()

    def _wait(self, until: float) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready, after waiting for it at most until then."""
        start = time.monotonic()
        ready = self._selector.select(max(0.0, until - start))
        self._silence += time.monotonic() - start
        return ready

    def _check_silence(self) -> None:
        bound = ANSWER_SECONDS if self._peers else JOIN_SECONDS
        if self._silence > bound:
            who = (
                f"none of the workers {sorted(self._peers)} has answered" if self._peers else "there has been no worker"
            )
            raise ClusterError(f"{who} for {bound} s; the last checkpoint stands")

    def _attend(self, key: selectors.SelectorKey, queue: UnitQueue) -> Gradient | None:
        """Do what is asked for at a socket that is ready; returns an answer, where that is what has come."""
        if isinstance(key.data, Peer):
            return self._read(key.data, queue)
        if key.fileobj is not self._door.bell:
            self._door.knock(key.data)
            return None
        for peer in self._door.admitted():
            if peer.worker in self._peers:  # two have come at once
                peer.close()
                continue
            self._peers[peer.worker] = peer
            self._selector.register(peer.connection, selectors.EVENT_READ, peer)
            self._silence = 0.0
        return None

    def _hand_out(self, queue: UnitQueue) -> None:
        """Give each worker what it may take, one unit a round, so that none is idle while another holds two."""
        for _ in range(CREDITS):
            for peer in self._turns():
                # An array goes only to a worker that waits for a unit, and so reads: neither end can block the other.
                if (following := queue.peek()) is None:
                    return
                behind = peer.region is None and peer.version != following.version
                if behind and queue.next_of(peer.worker) is not None:
                    continue
                if (unit := queue.take(peer.worker, time.monotonic())) is None:
                    continue
                slot = self._versions.index(unit.version)
                try:
                    peer.connection.send_bytes(protocol.pack_unit(unit, slot, behind))
                    if behind:
                        peer.connection.send_bytes(self._slots[slot].flat.data)
                        peer.version = unit.version
                except OSError:
                    self._drop(peer)
                    queue.lost(peer.worker)

    def _turns(self) -> list[Peer]:
        """The workers, in the order in which they are asked.

        As many on this machine as it has cores are asked first, and the same ones for a stint: more would only cool the
        caches. Then the others' turn comes.
        """
        peers = sorted(self._peers.values(), key=lambda peer: (peer.answered // STINT, peer.worker))
        here = [peer for peer in peers if peer.region is not None]
        return [peer for peer in peers if peer not in here[CORES:]] + here[CORES:]

    def _read(self, peer: Peer, queue: UnitQueue) -> Gradient | None:
        """The answer that has come from `peer`; None where the connection has ended instead."""
        try:
            frame = peer.connection.recv_bytes()
            if frame[:1] == protocol.FAILURE:
                raise _failure(peer.worker, frame)
            unit, tally, slot, waited = protocol.unpack_answer(frame)
            if unit != queue.next_of(peer.worker):
                raise ValueError(f"{unit} was not asked for")
            if peer.region is None:
                protocol.receive_array(peer.connection, peer.buffers[slot])
            answer = Gradient(unit, peer.buffers[slot], tally, peer.worker, waited)
        except (EOFError, OSError, struct.error, IndexError, ValueError):
            self._drop(peer)  # it is gone, or makes no sense
            queue.lost(peer.worker)
            return None
        peer.answered += 1
        return answer

    def _drop(self, peer: Peer) -> None:
        if self._peers.pop(peer.worker, None) is not None:
            self._selector.unregister(peer.connection)
            peer.close()
            if not self._peers:
                self._silence = 0.0  # another bound begins, that for a new worker


def _failure(worker: int, frame: bytes) -> DdmlpError:
    """The error that a worker told of, as the error of ours that it is."""
    name, message = protocol.unpack_failure(frame)
    kind = getattr(errors, name, None)
    if not (isinstance(kind, type) and issubclass(kind, DdmlpError)):
        kind = ClusterError
    return kind(f"worker {worker}: {message}")
