"""The parameter server's end of the message path: hands units out to workers elsewhere, and takes their answers."""

import selectors
import socket
import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from multiprocessing.reduction import send_handle
from typing import Any

import numpy as np

from ddmlp import errors, wire
from ddmlp.errors import ClusterError, DdmlpError
from ddmlp.link import RING
from ddmlp.network import Floats, Shape
from ddmlp.queues import CREDITS, Gradient, UnitQueue
from ddmlp.shared_memory import Region

ANSWER_SECONDS = 600  # the longest that no worker at all may answer, before the run is given up
JOIN_SECONDS = 60  # the longest that there may be no worker


@dataclass
class _Peer:
    """A worker, as the server sees it: slots of shared memory, or a buffer and the version that it was sent."""

    worker: int
    connection: Connection
    region: Region | None
    buffers: Sequence[Floats]
    version: int = -1
    answered: int = 0


class Hub:
    """Workers in other processes; implements the trainer's seam.

    They connect to one of `addresses`: a Unix socket for those on this machine, with whom the arrays are shared, and
    host and port for others, to whom arrays are sent. Each proves that it knows `secret`, and is let in if it would
    compute the same bits as everyone else.
    """

    def __init__(self, shape: Shape, hello: wire.Hello, secret: bytes, addresses: Sequence[wire.Address]) -> None:
        self._shape, self._hello, self._secret = shape, hello, secret
        self._weights = Region.create(RING, shape.size)
        self.buffers: Sequence[Floats] = self._weights.buffers
        self._selector = selectors.DefaultSelector()
        self._peers: dict[int, _Peer] = {}
        self._listeners = [wire.listen(address) for address in addresses]
        for listener in self._listeners:
            self._selector.register(listener, selectors.EVENT_READ, listener)

    @property
    def addresses(self) -> list[wire.Address]:
        """Where the workers can connect, in the order asked for; a port of 0 has become a real one."""
        return [listener.getsockname() for listener in self._listeners]

    @property
    def count(self) -> int:
        return max(1, len(self._peers))

    @property
    def joined(self) -> list[int]:
        """The workers that are here."""
        return sorted(self._peers)

    @property
    def answered(self) -> dict[int, int]:
        """How many units each worker that is here has answered."""
        return {peer.worker: peer.answered for peer in self._peers.values()}

    def gather(self, workers: int, seconds: float) -> bool:
        """Let workers in until there are so many, or `seconds` have passed; whether they are all here."""
        deadline = time.monotonic() + seconds
        while len(self._peers) < workers:
            ready = self._selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                return False
            for key, _ in ready:
                if isinstance(key.data, socket.socket):
                    self._admit(key.data)
                else:
                    self._read(key.data)  # nothing has been asked for: a failure, or the connection's end
        return True

    def publish(self, version: int) -> None:
        """The weights of `version` are in their shared buffer; whoever gets its units elsewhere will be sent them."""

    def exchange(self, queue: UnitQueue) -> Gradient:
        """Hand out units as far as the workers' credits go, and wait for an answer.

        Raises ClusterError where no worker is left, or none answers, within a bound; and what a worker raised.
        """
        self._hand_out(queue)
        while True:
            ready = self._selector.select(ANSWER_SECONDS if self._peers else JOIN_SECONDS)
            if not ready:
                raise ClusterError(
                    f"none of the workers {self.joined} has answered for {ANSWER_SECONDS} s"
                    if self._peers
                    else f"no worker is left, and none has joined for {JOIN_SECONDS} s"
                )
            data: Any = ready[0][0].data
            if isinstance(data, socket.socket):
                self._admit(data)
            elif (gradient := self._read(data)) is not None:
                return gradient
            else:
                queue.lost(data.worker)
            self._hand_out(queue)

    def close(self) -> None:
        for peer in list(self._peers.values()):
            with suppress(OSError):  # it may be gone already
                peer.connection.send_bytes(b"")
            self._drop(peer)
        for listener in self._listeners:
            listener.close()
        self._selector.close()
        self._weights.close()

    def _hand_out(self, queue: UnitQueue) -> None:
        """Give each worker what it may take, one unit a round, so that none is idle while another holds two.

        Who has answered least is asked first: where a step has fewer units than there are workers, they take turns.
        """
        for _ in range(CREDITS):
            for peer in sorted(self._peers.values(), key=lambda peer: peer.answered):
                if (unit := queue.take(peer.worker)) is None:
                    continue
                # An array goes only to a worker that waits for a unit, and so reads: neither end can block the other.
                follows = peer.region is None and peer.version != unit.version
                try:
                    peer.connection.send_bytes(wire.pack_unit(unit, follows))
                    if follows:
                        peer.connection.send_bytes(self.buffers[unit.version % RING].data)
                        peer.version = unit.version
                except OSError:
                    self._drop(peer)
                    queue.lost(peer.worker)

    def _read(self, peer: _Peer) -> Gradient | None:
        """The answer that has come from `peer`; None where the connection has ended instead."""
        try:
            frame = peer.connection.recv_bytes()
            if frame[:1] == wire.FAILURE:
                raise _failure(peer.worker, frame)
            unit, error, mistakes, slot = wire.unpack_answer(frame)
            if peer.region is None:
                wire.receive_array(peer.connection, peer.buffers[slot])
            answer = Gradient(unit, peer.buffers[slot], error, mistakes, peer.worker)
        except (EOFError, OSError, struct.error, IndexError, ValueError):
            self._drop(peer)  # it is gone, or makes no sense
            return None
        peer.answered += 1
        return answer

    def _admit(self, listener: socket.socket) -> None:
        """Let a worker in, or turn it away; one that does not finish the handshake is dropped."""
        connection, region = Connection(listener.accept()[0].detach()), None
        try:
            wire.bound_waits(connection)
            deliver_challenge(connection, self._secret)
            answer_challenge(connection, self._secret)
            hello = wire.Hello.load(connection.recv_bytes(wire.HELLO_BYTES))
            refused = self._hello.difference(hello)
            if refused is None and hello.worker in self._peers:
                refused = f"there is a worker {hello.worker} already"
            shared = listener.family == socket.AF_UNIX
            connection.send_bytes(wire.Welcome(shared, refused).dump())
            if refused is not None:
                raise OSError(refused)
            if shared:
                region = Region.create(CREDITS, self._shape.size)
                send_handle(connection, self._weights.descriptor, None)
                send_handle(connection, region.descriptor, None)
        except (OSError, EOFError, ValueError, AuthenticationError):
            connection.close()
            if region is not None:
                region.close()
            return
        buffers = region.buffers if region else [np.empty(self._shape.size, np.float32)]
        peer = _Peer(hello.worker, connection, region, buffers)
        self._peers[hello.worker] = peer
        self._selector.register(connection, selectors.EVENT_READ, peer)

    def _drop(self, peer: _Peer) -> None:
        if self._peers.pop(peer.worker, None) is not None:
            self._selector.unregister(peer.connection)
            peer.connection.close()
            if peer.region is not None:
                peer.region.close()


def _failure(worker: int, frame: bytes) -> DdmlpError:
    """The error that a worker told of, as the error of ours that it is."""
    name, message = wire.unpack_failure(frame)
    kind = getattr(errors, name, None)
    if not (isinstance(kind, type) and issubclass(kind, DdmlpError)):
        kind = ClusterError
    return kind(f"worker {worker}: {message}")
