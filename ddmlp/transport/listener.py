"""Accepts worker connections: authenticates them and checks that they compute the same bits."""

import socket
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from multiprocessing.reduction import send_handle

from ddmlp.config import Timeouts
from ddmlp.errors import ClusterError
from ddmlp.nn.weights import Shape, zeros
from ddmlp.training.messages import CREDITS
from ddmlp.training.worker_pool import REJECTED
from ddmlp.transport import protocol
from ddmlp.transport.peer import Peer
from ddmlp.transport.shared_memory import Region

THREADS = 8  # handshakes at a time
MAX_HANDSHAKES = 64  # begun or waiting; a worker that connects then is rejected


class HandshakeListener:
    """Accepts each worker that knows the secret and would compute the same bits as all others.

    The handshakes run in threads of their own, so that a client which connects and says nothing stops no training.
    """

    def __init__(
        self,
        shape: Shape,
        hello: protocol.Hello,
        secret: bytes,
        weights: Region,
        connected: Callable[[int], bool],
        timeouts: Timeouts,
    ) -> None:
        """hello: what a worker must agree with; weights: what is shared with workers on this machine; connected:
        whether a worker of that number is connected already."""
        self._shape, self._hello, self._secret, self._weights = shape, hello, secret, weights
        self._connected, self._timeouts = connected, timeouts
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="handshake")
        self._listeners: list[socket.socket] = []
        self._begun: set[Connection] = set()
        self._ready: deque[Peer] = deque()
        self._rejected: deque[tuple[int, str, str, str]] = deque()
        self._wakeup, self._notify = socket.socketpair()
        self._wakeup.setblocking(False)
        self._notify.setblocking(False)

    def open(self, address: protocol.Address) -> socket.socket:
        """Listen at `address`; returns the socket, at which `accept` is to be called when it is readable."""
        try:
            listener = protocol.listen(address)
        except OSError as error:
            raise ClusterError(f"the server cannot listen at {address}: {error.strerror or error}") from None
        listener.setblocking(False)
        self._listeners.append(listener)
        return listener

    @property
    def wakeup(self) -> socket.socket:
        """A socket that is readable when a worker is ready, or was rejected."""
        return self._wakeup

    def accept(self, listener: socket.socket) -> None:
        """Begin the handshake with the client that waits at `listener`."""
        try:
            connection = Connection(listener.accept()[0].detach())
        except OSError:
            return  # gone again
        if len(self._begun) >= MAX_HANDSHAKES:
            connection.close()
            return
        self._begun.add(connection)
        self._threads.submit(self._handshake, connection, shared=listener.family == socket.AF_UNIX)

    def take_ready(self) -> list[Peer]:
        """The workers that were accepted since the last call; see `take_rejected`, too."""
        with suppress(BlockingIOError):
            while self._wakeup.recv(1024):
                pass
        return [self._ready.popleft() for _ in range(len(self._ready))]

    def take_rejected(self) -> list[tuple[int, str, str, str]]:
        """The workers that were rejected since the last call, because they would compute something else."""
        return [self._rejected.popleft() for _ in range(len(self._rejected))]

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()
        for connection in list(self._begun):
            self._hang_up(connection)
        self._threads.shutdown()
        for peer in self._ready:
            peer.close()
        self._wakeup.close()
        self._notify.close()

    def _hang_up(self, connection: Connection) -> None:
        """End a handshake: its thread notices, and closes the connection."""
        if connection in self._begun:
            with suppress(OSError), socket.socket(fileno=connection.fileno()) as view:
                try:
                    view.shutdown(socket.SHUT_RDWR)
                finally:
                    view.detach()

    def _handshake(self, connection: Connection, *, shared: bool) -> None:
        """Accept a worker, or reject it with the reason; one that does not finish the handshake is dropped."""
        region = None
        clock = threading.Timer(self._timeouts.handshake, self._hang_up, [connection])
        clock.start()
        try:
            protocol.bound_waits(connection, self._timeouts.message)
            deliver_challenge(connection, self._secret)
            answer_challenge(connection, self._secret)
            hello = protocol.unpack(connection.recv_bytes(protocol.HELLO_BYTES), protocol.Hello)
            refused = self._hello.difference(hello)
            if refused is not None:
                self._rejected.append((hello.worker, protocol.printable(hello.host), REJECTED, refused))
                self._ring()
            elif self._connected(hello.worker):
                refused = f"there is a worker {hello.worker} already"
            connection.send_bytes(protocol.pack(protocol.Welcome(shared, self._weights.count, refused)))
            if refused is not None:
                raise OSError(refused)
            if shared:
                region = Region.create(CREDITS, self._shape.size)
                send_handle(connection, self._weights.descriptor, None)
                send_handle(connection, region.descriptor, None)
        except Exception:  # whatever a client can provoke in the standard library
            self._begun.discard(connection)
            connection.close()
            if region is not None:
                region.close()
            return
        finally:
            clock.cancel()
            self._begun.discard(connection)
        buffers = region.buffers if region else [zeros(self._shape.size)]
        self._ready.append(Peer(hello.worker, protocol.printable(hello.host), connection, region, buffers))
        self._ring()

    def _ring(self) -> None:
        """Make `wakeup` readable."""
        with suppress(OSError):  # it is readable already, or closed
            self._notify.send(b"!")
