"""What a server receives over TLS: the mutations are of what the client sends, from its handshake on."""

import socket
from collections.abc import Iterator
from contextlib import closing

import numpy as np

from ddmlp.transport.frames import FrameSocket
from ddmlp.transport.tls import Tls
from tests.fuzz.kind import Kind, Meaning
from tests.support.sockets import CLIENT, SERVER

FRAME, ARRAY = b"frame", np.arange(5000, dtype=np.float32)  # more than a record
ROOM = 1 << 20  # bytes that one end sends at most
SPREAD = 8  # bytes of the stream for one of the content


def encrypted() -> Iterator[Kind]:
    """Yield the kind of a connection.

    Keys are new in each connection, so a content is not what is sent: byte i of it is added, by exclusive or, to byte
    8 i of the stream; a shorter content cuts the stream, the bytes of a longer one follow it.
    """
    server, client = Tls(SERVER, server=True), Tls(CLIENT, server=False)
    sent = 0

    def received(content: bytes) -> Meaning:
        nonlocal sent
        (mine, near), (far, theirs) = socket.socketpair(), socket.socketpair()
        out = np.zeros_like(ARRAY)
        with closing(FrameSocket(mine, client)) as one, closing(FrameSocket(theirs, server)) as other, near, far:
            for end in (near, far):
                end.setblocking(False)  # a hello that seems to be longer is not answered: BlockingIOError is a refusal
            assert one.receive() is None
            hello = near.recv(ROOM)
            far.sendall(_changed(hello, content, 0))
            assert other.receive() is None
            near.sendall(far.recv(ROOM))
            one.send(FRAME, ARRAY)
            rest = near.recv(ROOM)
            sent = len(hello) + len(rest)
            far.sendall(_changed(rest, content, len(hello)) + content[-(-sent // SPREAD) :])
            far.close()
            frame = other.receive(len(FRAME))
            assert other.receive_array(out), "the connection is closed"
            return frame, out.tobytes()

    assert received(bytes(ARRAY.nbytes)) == (FRAME, ARRAY.tobytes())
    good = bytes(-(-sent // SPREAD) + 1)  # some signatures are a few bytes longer than this one
    yield Kind("connection: TLS", [good], received, sealed=True, refusals=(ValueError, OSError, EOFError))


def _changed(stream: bytes, content: bytes, begin: int) -> bytes:
    """Return what a content makes of a part of the stream that begins at a byte."""
    at = np.arange(begin, begin + len(stream))
    at = at[at // SPREAD < len(content)]
    mask = np.frombuffer(content, np.uint8)[at // SPREAD] * (at % SPREAD == 0)
    return (np.frombuffer(stream[: at.size], np.uint8) ^ mask.astype(np.uint8)).tobytes()
