"""A server of a slice of the weights: connected with the coordinator and all workers."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

from ddmlp.config import Timeouts
from ddmlp.errors import TrainingError
from ddmlp.nn.weights import Shape
from ddmlp.training.weight_slice import WeightSlice
from ddmlp.training.worker_pool import COORDINATOR, EXITED, UNRESPONSIVE, name_of
from ddmlp.transport import protocol
from ddmlp.transport.connections import READ as READABLE
from ddmlp.transport.connections import WRITE as WRITABLE
from ddmlp.transport.connections import Connections
from ddmlp.transport.lost_workers import LostWorkers
from ddmlp.transport.slice_messages import ADDED, APPLIED, APPLY, BEGIN, GRADIENT, LOAD, Message
from ddmlp.transport.slice_peer import SlicePeer
from ddmlp.transport.tls import Tls

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0  # between checks for connections that take too long


class SliceServer:
    """Executes the coordinator's commands, adds the workers' gradients, and sends weights.

    It accepts connections as a `SocketWorkerPool` does, but shares no memory: several servers pay between machines.
    """

    def __init__(
        self,
        part: WeightSlice,
        shape: Shape,
        hello: protocol.Hello,
        secret: bytes,
        addresses: Sequence[protocol.Address],
        timeouts: Timeouts,
        tls: Tls | None = None,
    ) -> None:
        """Listen at the addresses. shape: that of the slice; tls: encrypts connections to other machines. Raises
        ClusterError."""
        self._part = part
        self._connections = Connections(shape, hello, secret, None, LostWorkers(), timeouts, SlicePeer)
        self._joined = False
        try:
            self.addresses = [
                self._connections.listen(address, tls if protocol.is_far(address) else None) for address in addresses
            ]
        except BaseException:
            self.close()
            raise

    def serve(self) -> None:
        """Serve until the connection of the coordinator ends.

        Raises TrainingError if two workers computed different gradients; the coordinator has it, too.
        """
        try:
            due = 0.0
            while self._open:
                ready = self._connections.look()
                if not ready and (now := time.monotonic()) >= due:
                    due = now + LOOK_SECONDS
                    for peer, reason in self._connections.late(()):
                        self._connections.remove(peer, UNRESPONSIVE, reason)
                for key, events in ready or self._connections.wait(due):
                    self._attend(key.data, events)
        finally:
            self.close()

    def close(self) -> None:
        """End all connections."""
        self._connections.close()

    @property
    def _open(self) -> bool:
        """Whether the coordinator is still connected, or has never been."""
        connected = COORDINATOR in self._connections.peers
        self._joined |= connected
        return connected or not self._joined

    @property
    def _peers(self) -> Iterator[SlicePeer]:
        for peer in [*self._connections.peers.values()]:
            assert isinstance(peer, SlicePeer), "all connections are of this class"
            yield peer

    def _attend(self, source: object, events: int) -> None:
        """Handle a ready socket."""
        if not isinstance(source, SlicePeer):
            self._connections.attend(source)
            return
        if source.worker not in self._connections.peers:
            return  # removed while an earlier socket was handled
        try:
            if events & WRITABLE:
                source.wire.flush()
            message = source.message() if events & READABLE else None
            self._connections.note_active(source)
            if message is not None:
                source.waiting = message
                self._answer(source)
                if source.worker == COORDINATOR:
                    self._answer_waiting()
        except (EOFError, OSError, ValueError) as error:
            self._remove(source, error)

    def _answer_waiting(self) -> None:
        """Answer the messages that waited for a command of the coordinator."""
        for peer in self._peers:
            if peer.waiting is not None:
                try:
                    self._answer(peer)
                except (OSError, ValueError) as error:
                    self._remove(peer, error)

    def _answer(self, peer: SlicePeer) -> None:
        """Execute and answer the message of a connection, unless it has to wait."""
        message, part = peer.waiting, self._part
        assert message is not None, "there is a message"
        if message.kind == LOAD:
            part.load(message.version, peer.array)
        elif message.kind == BEGIN:
            part.begin(message.step, message.version, message.node.hi)
        elif message.kind == APPLY:
            part.apply(message.step, message.value, message.versions)
            peer.answer(Message(APPLIED, version=part.version))
        elif message.kind == GRADIENT:
            if not part.has_begun(message.step):
                return
            try:
                part.add(message.unit, peer.array, peer.worker, peer.wire.checksum)
            except TrainingError as error:
                self._report(error)
                raise
            peer.answer(Message.about(ADDED, message.unit))
        else:
            if message.version > part.version:
                return
            peer.answer_weights(message.version, part.read(message.version))
        peer.waiting = None
        self._connections.note_active(peer)

    def _report(self, error: TrainingError) -> None:
        """Send an error to the coordinator, unless that has ended."""
        for peer in self._peers:
            if peer.worker == COORDINATOR:
                with suppress(OSError):
                    peer.wire.send(protocol.pack_failure(error))

    def _remove(self, peer: SlicePeer, error: Exception) -> None:
        reason = protocol.printable(str(error))
        if isinstance(error, ValueError):
            log.warning("malformed message from %s on %s: %s", name_of(peer.worker), peer.host, reason)
        self._connections.remove(peer, EXITED, reason)
