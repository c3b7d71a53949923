"""Frames over a socket: data may arrive in pieces of any size, and no call blocks."""

import socket
import struct
from contextlib import contextmanager

import numpy as np
import pytest

from ddmlp.transport.frames import COLUMNS, LONGEST, FrameSocket, checksum

ARRAY = np.arange(300_000, dtype=np.float32)  # more than a socket accepts at once
PAIR = np.array([1, 2], np.float32)
SENT = b"\3\0\0\0" + b"\xc2\x41\x24\x35" + checksum(PAIR).to_bytes(4, "little") + b"abc" + PAIR.tobytes()


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
    """It is sent from its own memory, in order with the frames."""
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
    *before, last = SENT[: -PAIR.nbytes]
    for byte in before:
        one.send(bytes([byte]))
        assert other.receive(3) is None
    assert other.unread
    one.send(bytes([last]))
    assert other.receive(3) == b"abc"
    assert not other.unread
    *before, last = SENT[-PAIR.nbytes :]
    for byte in before:
        one.send(bytes([byte]))
        assert not other.receive_array(found)
        assert other.unread
    one.send(bytes([last]))
    assert other.receive_array(found)
    assert not other.unread
    assert found.tolist() == [1, 2]
    one.close()
    other.close()


def received(sent):
    """A frame and an array, when this was all that the other end has sent."""
    one, end = socket.socketpair()
    one.sendall(sent)
    one.close()
    other, found = FrameSocket(end), np.zeros(2, np.float32)
    try:
        frame = other.receive(3)
        assert other.receive_array(found)
        return frame, found.tolist()
    finally:
        other.close()


def test_damaged():
    """A flip of any bit is detected."""
    assert received(SENT) == (b"abc", [1, 2])
    for bit in range(8 * len(SENT)):
        damaged = bytearray(SENT)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises((ValueError, EOFError)):  # the connection ends before a length that has grown
            received(damaged)


@pytest.mark.parametrize("size", [1, 2 * COLUMNS - 1, 2 * COLUMNS, 2 * COLUMNS + 1, 300_000])
def test_checksum(size):
    """A change of any number is detected, and an exchange of two."""
    array = ARRAY[:size].copy()
    before, draw = checksum(array), np.random.default_rng(size)
    assert before == checksum(array.copy())
    for at in {0, size - 1, *draw.integers(0, size, 20)}:
        array.view(np.uint32)[at] ^= np.uint32(1 << int(draw.integers(32)))
        assert checksum(array) != before
        array[at] = ARRAY[at]
        if at:
            array[[0, at]] = array[[at, 0]]
            assert checksum(array) != before
            array[[0, at]] = array[[at, 0]]
    assert checksum(array) == before


def test_cut():
    """No part of a message is taken for another one, and the end of the connection is detected."""
    for end in range(len(SENT)):
        with pytest.raises(EOFError):
            received(SENT[:end])
        if end:
            with pytest.raises((ValueError, EOFError)):
                received(SENT[:end] + SENT)


@pytest.mark.parametrize("length", [LONGEST + 1, 2**32 - 1])
@pytest.mark.parametrize("usual", [0, 80])
def test_too_long(length, usual):
    """The message is refused by its length, before any of it is stored."""
    one, end = socket.socketpair()
    other = FrameSocket(end)
    one.send(struct.pack("<III", length, 0, 0))
    with pytest.raises(ValueError, match=f"{length:,} bytes.* {LONGEST:,}"):
        other.receive(usual)
    one.close()
    other.close()


def test_closed_in_the_middle():
    for sent in (b"", b"\3\0", SENT[:10]):
        one, end = socket.socketpair()
        other = FrameSocket(end)
        one.sendall(sent)
        one.close()
        with pytest.raises(EOFError):
            other.receive()
        with pytest.raises(EOFError):
            other.receive_array(np.zeros(1, np.float32))
        other.close()
