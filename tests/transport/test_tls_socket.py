"""Encrypted connections: their methods are those of a non-blocking socket."""

import socket
from contextlib import contextmanager, suppress

import pytest

from ddmlp.transport import tls_socket
from ddmlp.transport.tls import Tls
from ddmlp.transport.tls_socket import CHUNK
from tests.support.sockets import CLIENT, SERVER

DATA = bytes(range(256)) * 8192  # more than a socket accepts at once
RECORD = 1 << 14


@contextmanager
def pair():
    """A client and a server, and their sockets."""
    near, far = socket.socketpair()
    with near, far:
        for end in (near, far):
            end.setblocking(False)
        yield Tls(CLIENT, server=False).wrap(near), Tls(SERVER, server=True).wrap(far), near, far


@contextmanager
def connected():
    """A client and a server after their handshake."""
    with pair() as (client, server, *_):
        for end in (client, server, client, server):
            with suppress(BlockingIOError):
                end.recv(1)
        yield client, server


def transfer(sender, receiver, data, size):
    """Send data and receive them; returns how often the sender had to wait."""
    left, out, found, waits = memoryview(data), bytearray(len(data)), 0, 0
    while found < len(data):
        try:
            while left:
                left = left[sender.sendmsg([left[:100], left[100:]] if len(left) > 100 else [left]) :]
        except BlockingIOError:
            waits += 1
        with suppress(BlockingIOError):
            while found < len(data):
                found += receiver.recv_into(memoryview(out)[found : found + size])
    assert out == data
    assert not receiver.pending
    return waits


@pytest.mark.parametrize("size", [RECORD - 1, len(DATA)])
def test_simple(size):
    """Data arrive whole and in order, in both directions, although a socket does not accept all of them at once."""
    with connected() as (client, server):
        assert transfer(client, server, DATA, size) > 1
        assert transfer(server, client, DATA, size) > 1


def test_repeated():
    """What is encrypted already is not encrypted again if a call is repeated, also with more data behind it."""
    with connected() as (client, server):
        sent = 0
        with suppress(BlockingIOError):
            while True:
                sent += client.send(memoryview(DATA)[sent : sent + CHUNK])
        received = bytearray()
        with suppress(BlockingIOError):
            while True:
                received += server.recv(CHUNK)
        assert client.sendmsg([memoryview(DATA)[sent : sent + CHUNK], memoryview(b"more")]) == CHUNK
        while len(received) < sent + CHUNK:
            with suppress(BlockingIOError):
                received += server.recv(CHUNK)
        assert received == DATA[: sent + CHUNK]


def test_pending():
    """Data that no selector reports are pending; the part of a record is not, and is noted."""
    with connected() as (client, server):
        client.send(memoryview(b"abc"))
        assert server.recv(1) == b"a"
        assert server.pending
        assert server.recv(9) == b"bc"
        assert not server.pending
        assert not server.partial
        with pytest.raises(BlockingIOError):
            server.recv(9)
        assert server.partial


def test_closed():
    """In the handshake, and after it."""
    with pair() as (client, server, near, _):
        with pytest.raises(BlockingIOError):
            client.recv(1)
        near.shutdown(socket.SHUT_WR)
        with pytest.raises(BlockingIOError):
            server.send(memoryview(b"abc"))
        with pytest.raises(ConnectionResetError):
            server.send(memoryview(b"abc"))
    with connected() as (client, server):
        client.close()
        with pytest.raises(EOFError):
            server.recv(1)


def test_too_many_replies(monkeypatch):
    """A client that makes the server answer, and receives nothing, is dropped."""
    monkeypatch.setattr(tls_socket, "REPLIES", 100 - CHUNK)
    with pair() as (client, server, _, far):
        with pytest.raises(BlockingIOError):
            client.recv(1)
        with suppress(BlockingIOError):
            while True:
                far.send(bytes(CHUNK))
        with pytest.raises(ConnectionError, match="are unsent"):
            server.recv(1)
