"""Frames over a socket: whatever comes piece by piece is whole in the end, and nothing waits."""

import socket
import struct
from contextlib import contextmanager

import numpy as np
import pytest

from ddmlp.transport.frames import LONGEST, FrameSocket

ARRAY = np.arange(300_000, dtype=np.float32)  # more than a socket takes at once


@contextmanager
def pair():
    one, other = map(FrameSocket, socket.socketpair())
    try:
        yield one, other
    finally:
        one.close()
        other.close()


@pytest.mark.parametrize("usual", [0, 4, 5])
def test_simple(usual):
    with pair() as (one, other):
        assert other.receive(usual) is None
        for frame in (b"abcd\0", b"efghi", b"", b"jk"[:usual]):
            one.send(frame)
        assert [other.receive(usual), other.receive(usual), other.receive()] == [b"abcd\0", b"efghi", b""]
        one.close()
        assert other.receive(usual) == b"jk"[:usual]
        with pytest.raises(EOFError):
            other.receive(usual)


def test_array_in_pieces():
    """It is sent from where it lies, in its place among the frames."""
    found = np.zeros_like(ARRAY)
    with pair() as (one, other):
        one.send(b"head", ARRAY)
        one.send(b"next")
        assert one.unsent
        assert other.receive(4) == b"head"
        pieces = 0
        while not other.receive_array(found):
            assert other.unread
            one.flush()
            pieces += 1
        assert pieces > 1
        one.flush()
        assert not one.unsent
        assert other.receive(4) == b"next"
        assert not other.unread
    assert found.tobytes() == ARRAY.tobytes()


def test_byte_by_byte():
    one, end = socket.socketpair()
    other, found = FrameSocket(end), np.zeros(2, np.float32)
    for byte in b"\3\0\0\0ab":
        one.send(bytes([byte]))
        assert other.receive(3) is None
    assert other.unread
    one.send(b"c")
    assert other.receive(3) == b"abc"
    for byte in np.float32(1).tobytes() + np.float32(2).tobytes()[:-1]:
        one.send(bytes([byte]))
        assert not other.receive_array(found)
    one.send(np.float32(2).tobytes()[-1:])
    assert other.receive_array(found)
    assert found.tolist() == [1, 2]
    one.close()
    other.close()


@pytest.mark.parametrize("length", [LONGEST + 1, 2**32 - 1])
@pytest.mark.parametrize("usual", [0, 80])
def test_too_long(length, usual):
    """Nothing is kept for it."""
    one, end = socket.socketpair()
    other = FrameSocket(end)
    one.send(struct.pack("<I", length))
    with pytest.raises(ValueError, match=f"{length:,} bytes .* {LONGEST:,}"):
        other.receive(usual)
    one.close()
    other.close()


def test_closed_in_the_middle():
    for sent in (b"", b"\3\0", b"\3\0\0\0ab"):
        one, end = socket.socketpair()
        other = FrameSocket(end)
        one.sendall(sent)
        one.close()
        with pytest.raises(EOFError):
            other.receive()
        with pytest.raises(EOFError):
            other.receive_array(np.zeros(1, np.float32))
        other.close()
