"""A link between a worker and the server that lets only so many bytes through, each way."""

import socket
import threading
from contextlib import contextmanager, suppress

PIECE = 65_536  # bytes


class SlowLink:
    """Forwards one connection, made to `address`, to a server, in threads.

    limits: bytes to the server and to the worker after which no more goes that way, though the connection stays; gap:
    then a byte goes through each time that so many seconds have passed.
    """

    def __init__(self, server, limits, gap=None):
        self._server, self._limits, self._gap = server, limits, gap
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        self.slow = threading.Event()  # a limit was reached
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
            while left and (data := source.recv(min(PIECE, left))):
                target.sendall(data)
                left -= len(data)
            if not left:
                self.slow.set()
                while not self._over.wait(self._gap) and (data := source.recv(1)):
                    target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@contextmanager
def slow_link(server, limits, gap=None):
    link = SlowLink(server, limits, gap)
    try:
        yield link
    finally:
        link.close()
