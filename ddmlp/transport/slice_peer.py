"""A worker or the coordinator, as a server of a slice sees it."""

from ddmlp.nn.weights import Floats, Shape
from ddmlp.training.worker_pool import COORDINATOR
from ddmlp.transport.frames import FrameSocket
from ddmlp.transport.peer import Peer
from ddmlp.transport.shared_memory import Region
from ddmlp.transport.slice_messages import (
    APPLY,
    BEGIN,
    GRADIENT,
    LOAD,
    MESSAGE_BYTES,
    READ,
    WEIGHTS,
    Message,
)

KINDS = {True: (LOAD, BEGIN, APPLY, READ), False: (GRADIENT, READ)}  # of messages, from the coordinator or a worker


class SlicePeer(Peer):
    """A connection, with a buffer for one array.

    array: that of the message received last; waiting: a message that cannot be answered yet. A worker sends nothing
    until it is answered, so there is one at most, and its array is still in the buffer.
    """

    def __init__(self, worker: int, host: str, wire: FrameSocket, region: Region | None, shape: Shape) -> None:
        super().__init__(worker, host, wire, region, shape)
        (self.array,) = self._buffers
        self.waiting: Message | None = None
        self._partial: Message | None = None  # its array is still arriving

    @property
    def under_way(self) -> bool:
        """Whether a message is incomplete, in either direction."""
        return self._partial is not None or self.wire.unsent or self.wire.unread

    def message(self) -> Message | None:
        """The next message, whose array is in `array`; None if it has not arrived completely.

        Raises EOFError and OSError if the connection has ended, ValueError if the message is malformed or not allowed.
        """
        if self._partial is None:
            frame = self.wire.receive(MESSAGE_BYTES)
            if frame is None:
                return None
            self._partial = self._checked(Message.unpack(frame))
        if self._partial.follows and not self.wire.receive_array(self.array):
            return None
        found, self._partial = self._partial, None
        return found

    def answer(self, message: Message) -> None:
        """Send a message without an array. Raises OSError."""
        self.wire.send(message.pack())

    def answer_weights(self, version: int, flat: Floats | None) -> None:
        """Send the slice of a version; None: it was given up. Raises OSError."""
        self.wire.send(Message(WEIGHTS, version=version, follows=0 if flat is None else flat.nbytes).pack(), flat)

    def _checked(self, found: Message) -> Message:
        if found.kind not in KINDS[self.worker == COORDINATOR]:
            raise ValueError(f"received a message of kind {found.kind!r}, which is not allowed")
        if self.waiting is not None:
            raise ValueError("received a message before the one before was answered")
        expected = self.array.nbytes if found.kind in (LOAD, GRADIENT) else 0
        if found.follows != expected:
            raise ValueError(f"received a message with {found.follows:,} bytes of an array, expected {expected:,}")
        return found
