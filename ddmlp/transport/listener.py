"""Accepts worker connections: authenticates them and checks that they compute the same bits."""

import logging
import selectors
import socket
from collections.abc import Callable
from dataclasses import dataclass

from ddmlp.config import Timeouts
from ddmlp.errors import ClusterError
from ddmlp.nn.weights import Shape
from ddmlp.training.messages import CREDITS
from ddmlp.training.worker_pool import REJECTED, name_of
from ddmlp.transport import protocol
from ddmlp.transport.frames import FrameSocket
from ddmlp.transport.handshake import Handshake
from ddmlp.transport.lost_workers import LostWorkers
from ddmlp.transport.peer import Peer
from ddmlp.transport.shared_memory import Region
from ddmlp.transport.tls import Tls

log = logging.getLogger(__name__)

MAX_HANDSHAKES = 64  # at a time; if another client connects, the oldest handshake is dropped


@dataclass(eq=False)
class Guest:
    """A client that has connected and is not authenticated yet."""

    wire: FrameSocket
    handshake: Handshake
    shared: bool
    since: float  # on the pool's clock
    address: str


class HandshakeListener:
    """Accepts each worker that knows the secret and would compute the same bits as all others.

    Nothing here blocks: a silent client neither stops the training nor keeps other clients from connecting.
    """

    def __init__(
        self,
        shape: Shape,
        hello: protocol.Hello,
        secret: bytes,
        weights: Region | None,
        selector: selectors.BaseSelector,
        lost: LostWorkers,
        connected: Callable[[int], bool],
        timeouts: Timeouts,
        peer_class: type[Peer] = Peer,
    ) -> None:
        """Listen nowhere yet.

        hello: the server's, which a worker's must match; weights: shared with workers on this machine; None: no array
        is shared; selector: watches the sockets; lost: collects rejected workers; connected: whether the worker with a
        number is connected; peer_class: of the accepted workers.
        """
        self._shape, self._hello, self._secret, self._weights = shape, hello, secret, weights
        self._selector, self._lost, self._connected, self._timeouts = selector, lost, connected, timeouts
        self._peer_class = peer_class
        self._listeners: dict[socket.socket, Tls | None] = {}
        self._guests: dict[Guest, None] = {}  # the oldest first

    def open(self, address: protocol.Address, tls: Tls | None) -> protocol.Address:
        """Listen at `address`; returns the bound address (port 0: a free port). Raises ClusterError.

        tls: encrypts the connections.
        """
        try:
            listener = protocol.listen(address)
        except OSError as error:
            raise ClusterError(f"the server cannot listen at {address}: {error.strerror or error}") from None
        listener.setblocking(False)
        self._listeners[listener] = tls
        self._selector.register(listener, selectors.EVENT_READ, listener)
        bound: protocol.Address = listener.getsockname()
        return bound

    def attend(self, source: object, now: float) -> Peer | None:
        """Handle a ready socket, of a listener or a guest; returns the worker if a guest was accepted."""
        if isinstance(source, Guest):
            return self._greet(source) if source in self._guests else None  # else it was dropped meanwhile
        assert isinstance(source, socket.socket)
        self._accept(source, now)
        return None

    def drop_late(self, now: float) -> None:
        """Drop the clients whose handshake takes too long."""
        for guest in [guest for guest in self._guests if now > guest.since + self._timeouts.handshake]:
            self._reject(guest, f"its handshake took longer than {self._timeouts.handshake:g} s")

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()
        for guest in list(self._guests):
            self._drop(guest)

    def _accept(self, listener: socket.socket, now: float) -> None:
        """Begin the handshake with the next client at `listener`."""
        try:
            end, address = listener.accept()
        except OSError:
            return  # the client has disconnected already
        if len(self._guests) >= MAX_HANDSHAKES:
            self._reject(next(iter(self._guests)), f"{MAX_HANDSHAKES} newer handshakes are under way")
        shared = self._weights is not None and listener.family == socket.AF_UNIX
        try:
            wire = FrameSocket(end, self._listeners[listener])
        except OSError:
            end.close()
            return
        guest = Guest(wire, Handshake(self._secret, wire.fingerprint), shared, now, _name(address))
        try:
            wire.send(guest.handshake.challenge)
        except OSError as error:
            log.warning("rejected a client at %s: %s", guest.address, protocol.printable(str(error)))
            wire.close()
            return
        self._guests[guest] = None
        self._selector.register(wire, selectors.EVENT_READ, guest)

    def _greet(self, guest: Guest) -> Peer | None:
        """Read the hello of a client; accept the worker, or reject it with the reason."""
        region, weights, who = None, self._weights, f"a client at {guest.address}"
        try:
            frame = guest.wire.receive()
            if frame is None:
                guest.wire.flush()  # the challenge, which TLS does not send before its own handshake
                return None
            hello = protocol.unpack(guest.handshake.read_hello(frame), protocol.Hello)
            who = f"{name_of(hello.worker)} on {protocol.printable(hello.host)} at {guest.address}"
            refused = self._refusal(hello)
            if refused is None and guest.shared:
                try:
                    region = Region.create(CREDITS, self._shape.size)
                except ClusterError as error:
                    refused = str(error)
            welcome = protocol.Welcome(guest.shared, weights.count if weights else 0, refused)
            guest.wire.send(guest.handshake.welcome(protocol.pack(welcome)))
            if refused is not None:
                raise ValueError(refused)
            if region is not None and weights is not None:
                assert isinstance(guest.wire.socket, socket.socket), "a Unix socket, without TLS"
                socket.send_fds(guest.wire.socket, [b"!"], [weights.descriptor, region.descriptor])
        except (EOFError, OSError, ValueError) as error:
            if region is not None:
                region.close()
            self._reject(guest, protocol.printable(str(error)), who)
            return None
        del self._guests[guest]
        self._selector.unregister(guest.wire)
        return self._peer_class(hello.worker, protocol.printable(hello.host), guest.wire, region, self._shape)

    def _refusal(self, hello: protocol.Hello) -> str | None:
        """The reason why an authenticated worker is rejected; None if it is accepted."""
        difference = self._hello.difference(hello)
        if difference is not None:
            self._lost.add(hello.worker, protocol.printable(hello.host), REJECTED, difference)
            return difference
        return f"{name_of(hello.worker)} is connected already" if self._connected(hello.worker) else None

    def _reject(self, guest: Guest, reason: str, who: str | None = None) -> None:
        log.warning("rejected %s: %s", who or f"a client at {guest.address}", reason)
        self._drop(guest)

    def _drop(self, guest: Guest) -> None:
        del self._guests[guest]
        self._selector.unregister(guest.wire)
        guest.wire.close()


def _name(address: object) -> str:
    """The address of a client in words: host and port, or this machine for a Unix socket."""
    return "{}:{}".format(*address[:2]) if isinstance(address, tuple) else "this machine"
