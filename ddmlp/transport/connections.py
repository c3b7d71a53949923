"""The connections of a pool, with workers and with clients in a handshake, watched by one selector."""

import logging
import selectors
import time
from collections.abc import Collection, Iterator
from typing import Protocol

from ddmlp.config import Timeouts
from ddmlp.nn.weights import Shape
from ddmlp.training.worker_pool import EXITED, UNRESPONSIVE, LostWorker, name_of
from ddmlp.transport import protocol
from ddmlp.transport.listener import HandshakeListener
from ddmlp.transport.lost_workers import LostWorkers
from ddmlp.transport.peer import Peer
from ddmlp.transport.shared_memory import Region
from ddmlp.transport.tls import Tls

log = logging.getLogger(__name__)

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

Ready = list[tuple[selectors.SelectorKey, int]]  # sockets, and the events that each is ready for


class Beside(Protocol):
    """Another end of a connection."""

    def fileno(self) -> int:
        """The descriptor of its socket."""


class Connections:
    """Waits for all sockets at once, never for one alone.

    Time limits are measured on the clock `waited`: the seconds spent waiting for sockets. So no worker is late because
    the server was busy.
    """

    def __init__(
        self,
        shape: Shape,
        hello: protocol.Hello,
        secret: bytes,
        weights: Region | None,
        lost: LostWorkers,
        timeouts: Timeouts,
        peer_class: type[Peer] = Peer,
    ) -> None:
        """The parameters are those of `HandshakeListener`."""
        self.peers: dict[int, Peer] = {}
        self.waited = 0.0
        self._pending: set[Peer] = set()  # those with data that the selector does not report
        self._lost, self._timeouts = lost, timeouts
        self._selector = selectors.DefaultSelector()
        self._listener = HandshakeListener(
            shape, hello, secret, weights, self._selector, lost, self.peers.__contains__, timeouts, peer_class
        )

    def listen(self, address: protocol.Address, tls: Tls | None = None) -> protocol.Address:
        """See `HandshakeListener.open`."""
        return self._listener.open(address, tls)

    def look(self) -> Ready:
        """The sockets that are ready now."""
        ready = self._selector.select(0)
        return [(self._selector.get_key(peer.wire), READ) for peer in self._pending] + ready if self._pending else ready

    def wait(self, until: float, beside: Beside | None = None) -> Ready:
        """The sockets that are ready, after waiting at most until a time of `time.monotonic`, and only until `beside`,
        which is not among them, has data."""
        if beside is not None:
            self._selector.register(beside, READ)
            try:
                return [(key, events) for key, events in self.wait(until) if key.fileobj is not beside]
            finally:
                self._selector.unregister(beside)
        if self._pending:
            return self.look()
        start = time.monotonic()
        ready = self._selector.select(max(0.0, until - start))
        self.waited += time.monotonic() - start
        return ready

    def attend(self, source: object) -> Peer | None:
        """Handle a ready socket that belongs to no worker; returns a worker that has joined."""
        peer = self._listener.attend(source, self.waited)
        if peer is None:
            return None
        self.peers[peer.worker] = peer
        self._selector.register(peer.wire, READ, peer)
        self.note_active(peer)
        log.info("%s on %s joined; %d connected", name_of(peer.worker), peer.host, len(self.peers))
        return peer

    def note_active(self, peer: Peer) -> None:
        """Note that a message was sent to a worker or received from it, and watch for the rest of a partial one."""
        peer.active = self.waited
        if peer.wire.pending:
            self._pending.add(peer)
        else:
            self._pending.discard(peer)
        if peer.under_way:
            if peer.begun is None:
                peer.begun = self.waited
            self._selector.modify(peer.wire, READ | WRITE if peer.wire.unsent else READ, peer)
        elif peer.begun is not None:
            peer.begun = None
            self._selector.modify(peer.wire, READ, peer)

    def late(self, overdue: Collection[int]) -> Iterator[tuple[Peer, str]]:
        """The workers to give up, and why: a message takes too long, or, if they are `overdue`, their answer does.

        Clients whose handshake takes too long are dropped. Call this only if no socket is ready.
        """
        self._listener.drop_late(self.waited)
        for peer in [*self.peers.values()]:
            transfer = peer.transfer_seconds(self._timeouts)
            message = self._timeouts.message + transfer
            # The data may still be in the buffers of either host.
            answer = self._timeouts.unresponsive + 2 * transfer
            if peer.relay:  # it may have to wait that long for one of its workers
                answer += self._timeouts.unresponsive
            if peer.begun is not None and self.waited > peer.begun + message:
                yield peer, f"a message to or from it takes longer than {message:g} s"
            elif peer.worker in overdue and self.waited > peer.active + answer:
                yield peer, f"it has not answered for {answer:g} s"

    def remove(self, peer: Peer, cause: str, reason: str) -> bool:
        """Close a worker's connection; returns whether it was open."""
        if self.peers.get(peer.worker) is not peer:
            return False
        del self.peers[peer.worker]
        self._selector.unregister(peer.wire)
        self._pending.discard(peer)
        peer.close()
        if not peer.relay:
            self._lost.add(peer.worker, peer.host, cause, reason)
        elif cause == UNRESPONSIVE:  # its node may be cut off; otherwise its workers connect again
            for worker in peer.workers:
                self._lost.add(worker, peer.host, cause, reason)
        level = logging.INFO if cause == EXITED else logging.WARNING
        log.log(level, "%s; %d connected", LostWorker(peer.worker, peer.host, cause, reason), len(self.peers))
        return True

    def close(self) -> None:
        """Close all connections and stop listening."""
        self._listener.close()
        for peer in self.peers.values():
            peer.close()
        self.peers.clear()
        self._selector.close()
