"""Messages over a non-blocking socket.

A frame is a head, with its length and checksums, and its bytes. An array may follow a frame that announces its size.
It is sent from its own memory and received into its destination: arrays are copied by TLS only, which encrypts them.

The checksum of TCP has 16 bits, too few for the messages of a long run between machines: a flipped bit in a gradient
would reach the weights.
"""

import socket
import struct
import zlib
from collections import deque

import numpy as np

from ddmlp.nn.weights import Floats
from ddmlp.transport.tls import Tls
from ddmlp.transport.tls_socket import TlsSocket

LONGEST = 1 << 16  # bytes of a frame
IDLE, INTERVAL, PROBES = 10, 5, 3  # TCP keepalive: seconds, seconds, count; it detects a lost host

COLUMNS = 509  # a prime, so that a periodic fault does not hit the same column each time

_HEAD = struct.Struct("<III")  # length of the frame, its checksum, the checksum of the array that follows


class FrameSocket:
    """One end of a connection. All methods raise OSError if the connection breaks, EOFError if it was closed."""

    def __init__(self, end: socket.socket, tls: Tls | None = None) -> None:
        """tls: encrypts the connection. Raises OSError."""
        end.setblocking(False)
        self._incoming = bytearray()  # the part of a frame that has arrived
        self._received = 0  # bytes of the array that is arriving
        self._checksum = 0  # what it must have
        self._outgoing: deque[memoryview] = deque()
        if end.family != socket.AF_UNIX:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in (("TCP_KEEPIDLE", IDLE), ("TCP_KEEPINTVL", INTERVAL), ("TCP_KEEPCNT", PROBES)):
                if hasattr(socket, name):
                    end.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._tls = None if tls is None else tls.wrap(end)
        self.socket: socket.socket | TlsSocket = self._tls or end

    def fileno(self) -> int:
        """The descriptor of the socket, for selectors."""
        return self.socket.fileno()

    @property
    def checksum(self) -> int:
        """The checksum of the array that was received last."""
        return self._checksum

    @property
    def unsent(self) -> bool:
        """Whether data are left to `flush`."""
        return bool(self._outgoing)

    @property
    def unread(self) -> bool:
        """Whether a frame or an array has arrived in part."""
        return bool(self._incoming or self._received) or (self._tls is not None and self._tls.partial)

    @property
    def pending(self) -> bool:
        """Whether data can be received although no selector reports them."""
        return self._tls is not None and self._tls.pending

    @property
    def fingerprint(self) -> bytes:
        """The SHA-256 of the server's certificate, after the first data; zeros if nothing is encrypted."""
        return bytes(32) if self._tls is None else self._tls.fingerprint

    def send(self, frame: bytes, array: Floats | None = None) -> None:
        """Send a frame, and an array after it, as far as the socket accepts them.

        The array must not change before everything is sent.
        """
        head = _HEAD.pack(len(frame), zlib.crc32(frame), 0 if array is None else checksum(array))
        self._outgoing.append(memoryview(head + frame))
        if array is not None and array.size:
            self._outgoing.append(array.data.cast("B"))
        self.flush()

    def flush(self) -> None:
        """Send unsent data, as far as the socket accepts them."""
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
        """The next frame; None if it has not arrived completely.

        usual: the size of most frames, which are then read by one call. Only the last frame may be shorter: a call
        would read into the next one. Raises ValueError if the frame is too long or damaged.
        """
        incoming, end = self._incoming, _HEAD.size + usual
        while True:
            if len(incoming) >= _HEAD.size:
                length, expected, self._checksum = _HEAD.unpack_from(incoming)
                if length > LONGEST:
                    raise ValueError(f"received a message of {length:,} bytes, expected at most {LONGEST:,}")
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
        """Receive more of the array after a frame into `out`; returns whether it is complete.

        Raises ValueError if the array is damaged.
        """
        view = out.data.cast("B") if out.size else memoryview(b"")
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
    """The checksum of float32 numbers: taken as 64-bit words in rows of `COLUMNS`, the CRC-32 of the column sums.

    It is nine times faster than the CRC-32 of all bytes, which would take a tenth of a step's time in a fast network.
    TLS does not replace it: it also detects an array that changes while it is sent.
    """
    whole = array.size - array.size % (2 * COLUMNS)
    sums = array[:whole].view(np.uint64).reshape(-1, COLUMNS).sum(axis=0)
    return zlib.crc32(array[whole:].tobytes(), zlib.crc32(sums.tobytes()))


def _compare(found: int, expected: int) -> None:
    if found != expected:
        raise ValueError(f"received a damaged message: its checksum is {found:08x}, expected {expected:08x}")
