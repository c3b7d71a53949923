"""A link between a worker and the server with limits in each direction, in total or per second."""

import socket
import threading
import time
from contextlib import contextmanager, suppress

PIECE = 65_536  # bytes
ENDLESS = 10**12  # bytes
TICK = 0.01  # seconds between the pieces of a link that has a rate


class SlowLink:
    """Forwards one connection, made to `address`, to a server, in threads.

    limits: bytes to the server and to the worker; after that nothing is forwarded in that direction, but the connection
    stays open; gap: seconds after which one more byte is forwarded, repeatedly; rate: bytes per second and direction
    before that; flip: the number of the byte to the server in which a bit is flipped.
    """

    def __init__(self, server, limits=(ENDLESS, ENDLESS), gap=None, rate=None, flip=None):
        self._server, self._limits, self._gap, self._flip = server, limits, gap, flip
        self._piece, self._pause = (PIECE, 0.0) if rate is None else (max(1, round(rate * TICK)), TICK)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        self.slow = threading.Event()  # a limit was reached
        self.flipped = threading.Event()
        self.sent = bytearray()  # to the server
        self._over = threading.Event()
        self._ends = []
        self._threads = [threading.Thread(target=self._connect)]
        self._threads[0].start()

    def close(self):
        self._over.set()
        for each in [self._listener, *self._ends]:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in [self._listener, *self._ends]:
            each.close()

    def _connect(self):
        with suppress(OSError):
            worker = self._listener.accept()[0]
            server = socket.create_connection(self._server)
            self._ends += [worker, server]
            ways = [(worker, server, self._limits[0]), (server, worker, self._limits[1])]
            self._threads += [threading.Thread(target=self._forward, args=way) for way in ways]
            for thread in self._threads[1:]:
                thread.start()

    def _forward(self, source, target, left):
        with suppress(OSError):
            due = time.monotonic()
            while left and (data := source.recv(min(self._piece, left))):
                if target is self._ends[1]:
                    data = self._damaged(data)
                target.sendall(data)
                left -= len(data)
                # The time of a piece begins when it arrives: an idle link saves no time for later.
                due = max(due, time.monotonic() - self._pause) + self._pause * len(data) / self._piece
                self._over.wait(max(0.0, due - time.monotonic()))
            if not left:
                self.slow.set()
                while not self._over.wait(self._gap) and (data := source.recv(1)):
                    target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def _damaged(self, data):
        at = -1 if self._flip is None else self._flip - len(self.sent)
        self.sent += data
        if not 0 <= at < len(data):
            return data
        self.flipped.set()
        return data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :]


@contextmanager
def slow_link(server, limits=(ENDLESS, ENDLESS), gap=None, rate=None, flip=None):
    link = SlowLink(server, limits, gap, rate, flip)
    try:
        yield link
    finally:
        link.close()
