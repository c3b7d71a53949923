"""A connection to a server: authenticated, and accepted by it."""

import select
import time

from ddmlp.config import Timeouts
from ddmlp.errors import ClusterError
from ddmlp.nn.weights import Floats
from ddmlp.training.worker_pool import name_of
from ddmlp.transport import protocol
from ddmlp.transport.frames import FrameSocket
from ddmlp.transport.handshake import Handshake
from ddmlp.transport.tls import Tls


class ServerLink:
    """The client's end of a connection. wire: sends and receives; welcome: the server's answer to the hello."""

    def __init__(
        self,
        address: protocol.Address,
        secret: bytes,
        hello: protocol.Hello,
        timeouts: Timeouts,
        tls: Tls | None = None,
    ) -> None:
        """Connect. tls: encrypts the connection.

        Raises ClusterError if the server rejects the client, ConnectionError if it cannot be reached.
        """
        self._silence = timeouts.server
        self._name = name_of(hello.worker)
        self._address = address
        try:
            self.wire = FrameSocket(protocol.connect(address, timeouts.handshake), tls)
            self.readable, self.writable = select.poll(), select.poll()
            self.readable.register(self.wire, select.POLLIN)
            self.writable.register(self.wire, select.POLLOUT)
            try:
                self.welcome = self._shake_hands(secret, hello)
                if self.welcome.refused is not None:
                    raise ClusterError(f"the server rejects {self._name}: {protocol.printable(self.welcome.refused)}")
            except BaseException:
                self.close()
                raise
        except (OSError, EOFError, ValueError) as error:
            raise self.unreachable(error) from None

    def unreachable(self, error: Exception) -> ConnectionError:
        """The error for a connection that cannot be established."""
        return ConnectionError(
            f"{self._name} cannot reach the server at {self._address}: {error!r}; can their nodes connect?"
        )

    def wait_readable(self) -> None:
        """Wait for data while the server may still be busy. Raises TimeoutError if none arrive."""
        if not self.readable.poll(1000 * self._silence):
            raise TimeoutError(f"no answer within {self._silence:g} s")

    def send(self, frame: bytes, array: Floats | None = None) -> None:
        """Send a frame, and an array after it, completely: see `flush`."""
        self.wire.send(frame, array)
        self.flush()

    def flush(self) -> None:
        """Wait until everything is sent. Raises TimeoutError if the server accepts nothing while it may be busy."""
        while self.wire.unsent:
            if not self.writable.poll(1000 * self._silence):
                raise TimeoutError(f"the server has accepted nothing for {self._silence:g} s")
            self.wire.flush()

    def close(self) -> None:
        self.wire.close()

    def _shake_hands(self, secret: bytes, hello: protocol.Hello) -> protocol.Welcome:
        """Authenticate; returns the server's welcome. Raises ValueError if the server does not know the secret."""
        challenge = self._frame()
        handshake = Handshake(secret, self.wire.fingerprint)
        self.send(handshake.hello(challenge, protocol.pack(hello)))
        return protocol.unpack(handshake.read_welcome(self._frame()), protocol.Welcome)

    def _frame(self) -> bytes:
        """The next frame of the handshake. Raises TimeoutError if none arrives while the server may still be busy."""
        deadline = time.monotonic() + self._silence
        while (frame := self.wire.receive()) is None:
            if not self.readable.poll(1000 * max(0.0, deadline - time.monotonic())):
                raise TimeoutError(f"no answer within {self._silence:g} s")
        return frame
