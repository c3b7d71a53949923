"""One direction of a fake connection."""

import itertools
from collections import deque
from dataclasses import dataclass

from tests.simulation.scheduler import Scheduler

HANDSHAKE = 2000  # bytes
SINGLE = 2000  # bytes of a connection after which none arrives alone
FRAME, ODD = 100, 333  # bytes that arrive one by one, and of the pieces in which more of them arrive


@dataclass
class Link:
    """How connections of a host behave.

    delay: the longest delay of a piece of data, in seconds; pieces: the most pieces that the data of a call arrive in,
    or 0 if the bytes of the first frames arrive one by one; room: bytes on their way and in buffers.
    """

    delay: float = 0.001
    pieces: int = 1
    room: int = 1 << 16
    held_to: float = 0.0  # the end of a partition, for what the host receives
    held_from: float = 0.0  # and for what it sends


class Pipe:
    """One direction of a connection: bytes in order, each with the time of its arrival."""

    def __init__(self, scheduler: Scheduler, link: Link, sender: Link, receiver: Link, fired: set[str]) -> None:
        """sender, receiver: the links on which partitions matter; fired: gets the kinds of faults that happen here."""
        self._scheduler, self._link, self._fired = scheduler, link, fired
        self._sender, self._receiver = sender, receiver
        self._chunks: deque[tuple[float, bytearray]] = deque()
        self._size = self._total = 0  # bytes on their way, and sent
        self._last = 0.0
        self.ended = False  # by its sender
        self.broken = ""  # why it passes nothing more
        self.damage = 0  # pieces from now on until a bit flips in one; 0: never

    def room(self) -> int:
        """How many more bytes can be sent now. A new connection has room for a handshake on every system."""
        return max(self._link.room, HANDSHAKE - self._total) - self._size

    def put(self, data: bytes) -> None:
        """Send bytes; there is room for them."""
        scheduler, link = self._scheduler, self._link
        draw = scheduler.draw
        if link.pieces == 0:
            single = FRAME if self._total < SINGLE else 0
            cuts = [*range(1, min(len(data), single)), *range(single, len(data), ODD)]
        else:
            cuts = sorted(draw.randrange(len(data) + 1) for _ in range(draw.randrange(link.pieces)))
        for begin, end in itertools.pairwise([0, *cuts, len(data)]):
            if piece := bytearray(data[begin:end]):
                if self.damage:
                    self.damage -= 1
                    if not self.damage:
                        piece[draw.randrange(len(piece))] ^= 1 << draw.randrange(8)
                        self._fired.add("damage")
                self._last = max(self._last, scheduler.now + draw.random() * link.delay)
                self._chunks.append((self._last, piece))
                scheduler.at(max(self._last, self._sender.held_from, self._receiver.held_to))
        self._size += len(data)
        self._total += len(data)

    def arrived(self) -> bool:
        """Whether a receiver would not wait."""
        if self.broken:
            return True
        now = self._scheduler.now
        if self._chunks[0][0] > now if self._chunks else not self.ended:
            return False
        return self._sender.held_from <= now and self._receiver.held_to <= now

    def take(self, count: int) -> bytes:
        """At most `count` of the bytes that have arrived; none if the sender has ended. Raises BlockingIOError."""
        if not self.arrived():
            raise BlockingIOError
        if self.broken or not self._chunks:
            return b""
        piece = self._chunks[0][1]
        found = piece[:count]
        del piece[:count]
        if not piece:
            self._chunks.popleft()
        self._size -= len(found)
        return bytes(found)
