"""The coordinator's connections to the servers."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

from ddmlp.config import Timeouts
from ddmlp.errors import ServerLostError
from ddmlp.nn.weights import Shape, Weights
from ddmlp.plan.reduction_tree import Node
from ddmlp.transport import protocol
from ddmlp.transport.slice_links import SliceLinks
from ddmlp.transport.slice_messages import APPLIED, APPLY, BEGIN, LOAD, MESSAGE_BYTES, Message
from ddmlp.transport.tls import Tls

AHEAD = 64  # steps that a server may be behind the coordinator


class SliceCommands(SliceLinks):
    """Commands to all servers; see `Servers`.

    A command is sent, and not waited for: the servers execute them in order, and report each step that they have
    applied. Each method raises ServerLostError if a server has ended, and the error that a server has reported.
    """

    def __init__(
        self,
        addresses: Sequence[protocol.Address],
        secret: bytes,
        hello: protocol.Hello,
        shape: Shape,
        timeouts: Timeouts,
        tls: Tls | None = None,
    ) -> None:
        """Connect. Raises ServerLostError if a server cannot be reached, ClusterError if it rejects the coordinator."""
        self._shape = shape
        self._behind = [0] * len(addresses)  # steps that each server has not reported yet
        self._gathered: dict[int, Weights] = {}  # since the last step
        with self._losing():
            super().__init__(addresses, secret, hello, shape, timeouts, tls)

    def load(self, version: int, weights: Weights) -> None:
        """Give each server its slice of a version, the newest one so far."""
        with self._losing():
            for link, part in zip(self.links, self.slices, strict=True):
                flat = weights.flat[part]
                link.send(Message(LOAD, version=version, follows=flat.nbytes).pack(), flat)

    def begin(self, step: int, read: int, microbatches: int) -> None:
        """Open a step that reads the version `read`."""
        with self._losing():
            for link in self.links:
                link.send(Message(BEGIN, step, read, Node(0, microbatches)).pack())

    def apply(self, step: int, step_size: float, keep: Collection[int]) -> None:
        """Make the next version of a step whose gradients all servers have. keep: versions that may still be read."""
        self._gathered.clear()
        frame = Message(APPLY, step, value=step_size, versions=tuple(sorted(keep))).pack()
        with self._losing():
            for server, link in enumerate(self.links):
                link.send(frame)
                self._behind[server] += 1
                self._take_reports(server)
                while self._behind[server] > AHEAD:
                    link.wait_readable()
                    self._take_reports(server)

    def __getitem__(self, version: int) -> Weights:
        """The weights of a version that is kept, from all servers: once, until the next step is applied."""
        if version not in self._gathered:
            weights = Weights(self._shape)
            with self._losing():
                if not self.read(version, weights):
                    raise ValueError(f"a server does not have version {version}")
            self._gathered[version] = weights
        return self._gathered[version]

    def next_message(self, server: int) -> Message | None:
        """The next message of a server that is no report of a step."""
        while (frame := self.links[server].wire.receive(MESSAGE_BYTES)) is not None:
            if frame[:1] == protocol.FAILURE:
                raise protocol.unpack_failure(frame)
            found = Message.unpack(frame)
            if found.kind != APPLIED:
                return found
            self._behind[server] -= 1
        return None

    def _take_reports(self, server: int) -> None:
        """Receive the reports that have arrived."""
        if (found := self.next_message(server)) is not None:
            raise ValueError(f"a server sent {found}, expected a report")

    @contextmanager
    def _losing(self) -> Iterator[None]:
        """Turn the end of a connection, in the block, into the error that a server has reported, or a
        `ServerLostError`."""
        try:
            yield
        except (EOFError, OSError, ValueError) as error:
            for server in range(len(self.links)):  # one that fails reports it, and ends: then nothing can be sent to it
                with suppress(EOFError, OSError, ValueError):
                    self.next_message(server)
            reason = protocol.printable(str(error))
            raise ServerLostError(f"the connection to a server has ended: {reason}") from None
