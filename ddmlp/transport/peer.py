"""A worker, as the server sees it."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

from ddmlp.nn.weights import Floats
from ddmlp.training.messages import Gradient, Unit
from ddmlp.transport import protocol
from ddmlp.transport.shared_memory import Region


@dataclass
class Peer:
    """A worker that is connected: slots of shared memory, or a buffer and the version that it was sent."""

    worker: int
    host: str
    connection: Connection
    region: Region | None
    buffers: Sequence[Floats]
    version: int = -1
    answered: int = 0

    def send(self, unit: Unit, slot: int, weights: Floats | None) -> None:
        """Give it a unit; weights: what to send with it, if they lie in no shared slot and it does not have them.
        Raises OSError."""
        self.connection.send_bytes(protocol.pack_unit(unit, slot, weights is not None))
        if weights is not None:
            self.connection.send_bytes(weights.data)
            self.version = unit.version

    def receive(self, asked: Unit | None) -> Gradient:
        """The answer to the unit that it was asked for first. Raises EOFError and OSError if the connection has ended,
        ValueError if what came makes no sense, and the error of a worker that fails."""
        frame = self.connection.recv_bytes()
        if frame[:1] == protocol.FAILURE:
            raise protocol.unpack_failure(frame)
        try:
            unit, row_stats, slot, waited = protocol.unpack_answer(frame)
            buffer = self.buffers[slot]
        except (struct.error, IndexError) as error:
            raise ValueError(f"its answer makes no sense: {error}") from None
        if unit != asked:
            raise ValueError(f"its answer is to {unit}, which it was not asked for")
        if self.region is None:
            protocol.receive_array(self.connection, buffer)
        self.answered += 1
        return Gradient(unit, buffer, row_stats, self.worker, waited)

    def close(self) -> None:
        self.connection.close()
        if self.region is not None:
            self.region.close()
