"""The arrays of a connection. Over a slow link they are packed: fewer bytes, from which the same bits are unpacked."""

import time

from ddmlp.nn.packing import largest_packed, pack, unpack
from ddmlp.nn.weights import Floats, Shape, zeros
from ddmlp.transport.frames import FrameSocket

# The bytes of an array that one core packs, and another unpacks, in a second. Packing does not pay on a faster link.
PACKING = 5e8


class PackedArrays:
    """Sends and receives buffers of `Weights` over a connection.

    slow: whether the array that last arrived without packing took longer than packing would have. A packed one says
    nothing: it may have arrived as a whole before this process had a core.
    """

    def __init__(self, wire: FrameSocket, shape: Shape) -> None:
        self.slow = False
        self._wire, self._shape = wire, shape
        self._room: Floats | None = None  # for a packed array
        self._begun: float | None = None  # when the array that is arriving began

    def check(self, follows: int) -> None:
        """Raise ValueError unless an array may have this number of bytes, packed or not."""
        whole = 4 * self._shape.size
        if follows != whole and (follows % 4 or not 0 < follows <= 4 * largest_packed(self._shape)):
            raise ValueError(f"{follows:,} bytes of an array were announced, expected {whole:,}, or fewer if packed")

    def to_send(self, flat: Floats) -> Floats:
        """The array that stands for `flat` on this link. It must be sent before the next call."""
        packed = pack(self._shape, flat, self._buffer()) if self.slow else None
        return flat if packed is None else packed

    def receive(self, follows: int, out: Floats) -> bool:
        """Receive more of an array, of which `follows` bytes were announced and checked, into `out`; returns whether it
        is complete.

        Raises EOFError and OSError if the connection breaks, ValueError if the array is damaged or malformed.
        """
        if self._begun is None:
            self._begun = time.monotonic()
        whole = follows == out.nbytes
        arriving = out if whole else self._buffer()[: follows // 4]
        if not self._wire.receive_array(arriving):
            return False
        seconds, self._begun = time.monotonic() - self._begun, None
        if whole:
            self.slow = 0 < follows < PACKING * seconds
        else:
            unpack(self._shape, arriving, out)
        return True

    def _buffer(self) -> Floats:
        if self._room is None:
            self._room = zeros(self._shape.size)
        return self._room
