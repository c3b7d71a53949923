"""A worker or a relay, as the server sees it."""

import logging
import struct

from ddmlp.config import Timeouts
from ddmlp.nn.weights import Floats, Shape, zeros
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.messages import Gradient, Unit, UnitTimes
from ddmlp.training.worker_pool import COORDINATOR, name_of
from ddmlp.transport import protocol
from ddmlp.transport.frames import FrameSocket
from ddmlp.transport.packed_arrays import PackedArrays
from ddmlp.transport.shared_memory import Region
from ddmlp.transport.unit_times import read_times

log = logging.getLogger(__name__)

# What `protocol.unpack_answer` returns, and the times of the unit, if the run has a trace.
Answer = tuple[Unit, RowStats, int, int, float, UnitTimes | None]


class Peer:
    """A connected worker: its slots of shared memory, or a buffer and the version of the weights sent to it last.

    It may also be a relay: capacity: how many workers it has; status: its newest one, until it is taken.

    Nothing here blocks: in each direction, a message may be incomplete for a while. Times are on the clock of
    `Connections`.
    """

    def __init__(self, worker: int, host: str, wire: FrameSocket, region: Region | None, shape: Shape) -> None:
        self.worker, self.host, self.wire, self.region = worker, host, wire, region
        self.version = -1
        self.slow = False  # whether its last gradient was packed: its link is slow
        self.answered = 0
        self.relay = worker < COORDINATOR
        self.capacity = 0 if self.relay else 1
        self.status: protocol.Status | None = None
        self._behind: dict[int, int] = {}  # what each worker of a relay has answered
        self.active = 0.0  # when data were last sent or received
        self.begun: float | None = None  # when the incomplete message began
        self._usual = protocol.ANSWER_BYTES  # the size of its next answer; a larger one is received by two calls
        self._buffers = region.buffers if region else [zeros(shape.size)]
        self._arrays = PackedArrays(wire, shape)
        self._debug = log.isEnabledFor(logging.DEBUG)  # asked once: a unit costs nothing if it is not logged
        self._arriving: Answer | None = None  # its gradient follows

    @property
    def workers(self) -> dict[int, int]:
        """The number of units that each worker has answered: this one, or those of the relay."""
        return self._behind if self.relay else {self.worker: self.answered}

    @property
    def under_way(self) -> bool:
        """Whether a message is incomplete, in either direction."""
        return self._arriving is not None or self.wire.unsent or self.wire.unread

    def transfer_seconds(self, timeouts: Timeouts) -> float:
        """How long the transfer of an array may take; 0 if arrays are in shared memory."""
        return 0.0 if self.region else self._buffers[0].nbytes / timeouts.bytes_per_second

    def send(self, unit: Unit, slot: int, weights: Floats | None, step_size: float = 0.0) -> None:
        """Send a unit. weights: sent with it, unless they are shared or the worker has them; or with a step size, the
        packed update of those that it has. Raises OSError."""
        follows = 0 if weights is None else weights.nbytes
        self.wire.send(protocol.pack_unit(unit, slot, follows, step_size), weights)
        if weights is not None:
            self.version = unit.version
        if self._debug:
            log.debug("%s to %s", unit, name_of(self.worker))

    def receive(self, asked: Unit | None) -> Gradient | None:
        """The answer to the unit `asked`; None if it has not arrived completely, or a status has.

        Raises EOFError and OSError if the connection has ended, ValueError if the message is malformed, and the error
        of a worker that has failed.
        """
        try:
            if self._arriving is None:
                frame = self.wire.receive(self._usual)
                if frame is None or self._is_status(frame):
                    return None
                self._arriving = self._answer(frame, asked)
            unit, row_stats, slot, follows, waited, times = self._arriving
            buffer = self._buffers[slot]
            if self.region is None and not self._arrays.receive(follows, buffer):
                return None
        except ValueError as error:
            text = protocol.printable(str(error))
            log.warning("malformed answer from %s on %s: %s", name_of(self.worker), self.host, text)
            raise
        self._arriving = None
        self.slow = self.region is None and follows != buffer.nbytes
        self.answered += 1
        if self._debug:
            log.debug("%s answered by %s, which had waited %.6f s for it", unit, name_of(self.worker), waited)
        return Gradient(unit, buffer, row_stats, self.worker, waited, times)

    def _is_status(self, frame: bytes) -> bool:
        """Whether a message of a relay is a status, which is then the newest one."""
        if not self.relay or frame[:1] != protocol.STATUS:
            return False
        self.status = protocol.unpack_status(frame)
        self.capacity, self._behind = self.status.capacity, self.status.answered
        return True

    def _answer(self, frame: bytes, asked: Unit | None) -> Answer:
        if frame[:1] == protocol.FAILURE:
            raise protocol.unpack_failure(frame)
        times = None
        try:
            if len(frame) > protocol.ANSWER_BYTES:
                if not self.relay:  # whose statuses may be shorter
                    self._usual = len(frame)
                frame, times = frame[: protocol.ANSWER_BYTES], read_times(frame[protocol.ANSWER_BYTES :])
            unit, row_stats, slot, follows, waited = protocol.unpack_answer(frame)
            _ = self._buffers[slot]
        except (struct.error, IndexError) as error:
            raise ValueError(f"its answer is malformed: {error}") from None
        if unit != asked:
            raise ValueError(f"its answer is to {unit}, expected {asked or 'none'}")
        if self.region is None:
            self._arrays.check(follows)
        elif follows:
            raise ValueError(f"its answer announces {follows:,} bytes of a gradient, expected 0")
        return unit, row_stats, slot, follows, waited, times

    def close(self) -> None:
        self.wire.close()
        if self.region is not None:
            self.region.close()


def why_ended(error: OSError | EOFError | ValueError) -> str:
    """Why the connection of a worker has ended, in words."""
    if isinstance(error, TimeoutError):  # of TCP: no acknowledgement, or no answer to its keepalive
        return "its host does not answer any more"
    if isinstance(error, OSError):
        return f"its connection has ended: {error.strerror or error}"
    return protocol.printable(str(error))
