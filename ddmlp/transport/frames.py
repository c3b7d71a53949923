"""Messages over a socket that never wait: what has come is read, what can be sent is sent, the rest later.

A frame is its length, checksums, and so many bytes. An array follows a frame that announces its size, as its bytes
alone. It is sent from where it lies, and received into where it is to lie: an array is never copied.

TCP's own checksum has 16 bits, which is too few for the messages of a long run between machines; and a bit that flips
in a gradient would go unnoticed into the weights.
"""

import socket
import struct
import zlib
from collections import deque

import numpy as np

from ddmlp.nn.weights import Floats

LONGEST = 1 << 16  # bytes of a frame
IDLE, INTERVAL, PROBES = 10, 5, 3  # of TCP's keepalive: seconds, seconds, count; so a host that is gone is noticed

COLUMNS = 509  # a prime, so that no regular fault falls into the same one again and again

_HEAD = struct.Struct("<III")  # of a frame: its length, its checksum, that of the array behind it


class FrameSocket:
    """One end of a connection. All methods raise OSError if the connection is broken, EOFError if it was closed."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self.socket = end
        self._incoming = bytearray()  # the beginning of a frame
        self._received = 0  # bytes of the array that is arriving
        self._checksum = 0  # what it must have
        self._outgoing: deque[memoryview] = deque()
        if end.family != socket.AF_UNIX:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in (("TCP_KEEPIDLE", IDLE), ("TCP_KEEPINTVL", INTERVAL), ("TCP_KEEPCNT", PROBES)):
                if hasattr(socket, name):
                    end.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def fileno(self) -> int:
        """So that a selector takes it for the socket."""
        return self.socket.fileno()

    @property
    def unsent(self) -> bool:
        """Whether there is something left to `flush`."""
        return bool(self._outgoing)

    @property
    def unread(self) -> bool:
        """Whether a frame or an array has begun to arrive, and is not complete."""
        return bool(self._incoming or self._received)

    def send(self, frame: bytes, array: Floats | None = None) -> None:
        """Send a frame, and an array behind it, as far as the socket takes them. The array must not be changed before
        all is sent."""
        head = _HEAD.pack(len(frame), zlib.crc32(frame), 0 if array is None else checksum(array))
        self._outgoing.append(memoryview(head + frame))
        if array is not None:
            self._outgoing.append(array.data.cast("B"))
        self.flush()

    def flush(self) -> None:
        """Send more of what is left, as far as the socket takes it."""
        outgoing = self._outgoing
        while outgoing:
            try:
                sent = self.socket.sendmsg(outgoing) if len(outgoing) > 1 else self.socket.send(outgoing[0])
            except BlockingIOError:
                return
            while outgoing and sent >= len(outgoing[0]):
                sent -= len(outgoing.popleft())
            if sent:
                outgoing[0] = outgoing[0][sent:]

    def receive(self, usual: int = 0) -> bytes | None:
        """The next frame; None if it has not come whole.

        usual: the size of most frames, to read them at once. A shorter one must be the last. Raises ValueError for one
        that is too long, or damaged.
        """
        incoming, end = self._incoming, _HEAD.size + usual
        while True:
            if len(incoming) >= _HEAD.size:
                length, expected, self._checksum = _HEAD.unpack_from(incoming)
                if length > LONGEST:
                    raise ValueError(f"a message of {length:,} bytes came, expected at most {LONGEST:,}")
                end = _HEAD.size + length
                if len(incoming) >= end:
                    frame = bytes(incoming[_HEAD.size : end])
                    incoming.clear()
                    _compare(zlib.crc32(frame), expected)
                    return frame
            try:
                more = self.socket.recv(end - len(incoming))
            except BlockingIOError:
                return None
            if not more:
                raise EOFError("the connection was closed")
            incoming += more

    def receive_array(self, out: Floats) -> bool:
        """Receive more of the array behind a frame into `out`; whether it is complete. Raises ValueError if it is
        damaged."""
        view = out.data.cast("B")
        while self._received < len(view):
            try:
                more = self.socket.recv_into(view[self._received :])
            except BlockingIOError:
                return False
            if not more:
                raise EOFError("the connection was closed")
            self._received += more
        self._received = 0
        _compare(checksum(out), self._checksum)
        return True

    def close(self) -> None:
        self._outgoing.clear()
        self.socket.close()


def checksum(array: Floats) -> int:
    """Of float32 numbers: the CRC-32 of the sums of their columns, as words of 64 bits in rows of `COLUMNS`.

    Nine times faster than CRC-32 of all, which would take a tenth of the time of a step in a fast network.
    """
    whole = array.size - array.size % (2 * COLUMNS)
    sums = array[:whole].view(np.uint64).reshape(-1, COLUMNS).sum(axis=0)
    return zlib.crc32(array[whole:].tobytes(), zlib.crc32(sums.tobytes()))


def _compare(found: int, expected: int) -> None:
    if found != expected:
        raise ValueError(f"a message came damaged: its checksum is {found:08x}, expected {expected:08x}")
