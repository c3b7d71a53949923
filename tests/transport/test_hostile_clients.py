"""Hostile clients: whatever they send, each is rejected in one line of the log, and the others train on."""

import socket
import ssl
from contextlib import suppress

import pytest

from ddmlp.transport.listener import MAX_HANDSHAKES
from tests.support.slow_link import slow_link
from tests.support.sockets import SECONDS, Encrypted, Training, impatient, meet, rejections, work

over_networks = pytest.mark.parametrize("kind", [1, 2], ids=["tcp", "tls"])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"maximum_version": ssl.TLSVersion.TLSv1_2}, "unsupported protocol"),
        ({}, "peer did not return a certificate"),
    ],
    ids=["TLS 1.2", "no certificate"],
)
def test_other_clients(pool, caplog, trains, change, word):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for name, value in change.items():
        setattr(context, name, value)

    def connect():
        with socket.create_connection(pool.addresses[2], SECONDS) as plain, context.wrap_socket(plain) as end:
            end.recv(1)

    with pytest.raises(OSError, match="alert"):
        meet(pool, connect)
    (line,) = rejections(caplog)
    assert word in line
    trains()


@over_networks
@pytest.mark.parametrize(
    "sent",
    [b"GET / HTTP/1.1\r\n\r\n", bytes(12), b"\xff" * 70_000, b"\x16\x03\x01\xff\xff", b"\x16\x03\x01\0\4\1\0\0\0"],
    ids=["HTTP", "zeros", "long", "record too long", "empty hello"],
)
def test_garbage(pool, caplog, trains, kind, sent):
    with socket.create_connection(pool.addresses[kind], SECONDS) as client:

        def exchange():
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            while client.recv(1000):
                pass

        with suppress(OSError):  # also if the other end has closed before the shutdown
            meet(pool, exchange)
    (line,) = rejections(caplog)
    assert "\n" not in line
    trains(kind)


@impatient(handshake=0.2)
@over_networks
@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\2\0\1"], ids=["nothing", "half a hello"])
def test_silent(pool, caplog, trains, kind, sent):
    """The handshake has a time limit."""
    with socket.create_connection(pool.addresses[kind], SECONDS) as client:
        client.sendall(sent)
        while meet(pool, client.recv, 100):
            pass  # the challenge
    (line,) = rejections(caplog)
    assert "0.2 s" in line
    trains(kind)


@over_networks
def test_replayed_connection(pool, dataset, caplog, threads, kind):
    """What a worker has sent is not valid in another connection."""
    with slow_link(pool.addresses[kind]) as link:
        address = link.address if kind == 1 else Encrypted(link.address)
        first = threads.submit(work, address, dataset)
        assert pool.gather(1, SECONDS)
        Training(pool, 1).run(to=2)
        recorded = bytes(link.sent)
    while pool.count:
        pool.gather(1_000, 0.01)
    assert first.result(SECONDS) >= 2
    with socket.create_connection(pool.addresses[kind], SECONDS) as client, suppress(ConnectionError):

        def replay():
            client.sendall(recorded)
            while client.recv(10_000):
                pass

        meet(pool, replay)
    assert pool.count == 0
    assert len(rejections(caplog)) == 1


@pytest.mark.slow
@over_networks
def test_thousands_of_connections(pool, dataset, threads, caplog, kind):
    """While a worker trains. Some are closed at once, some are silent, some send garbage."""
    threads.submit(work, pool.addresses[kind], dataset)
    assert pool.gather(1, SECONDS)

    def attack():
        open_ones = []
        for number in range(3_000):
            client = socket.create_connection(pool.addresses[kind], SECONDS)
            open_ones.append(client)
            if number % 3 == 1:
                client.sendall(b"\xff" * 100)
            if number % 3 == 2 or len(open_ones) > 2 * MAX_HANDSHAKES:
                open_ones.pop(0).close()
        for each in open_ones:
            each.close()

    attacking = threads.submit(attack)
    assert Training(pool, 1).run(to=5)
    while not attacking.done():
        pool.gather(1_000, 0.01)
    attacking.result()
    assert pool.stats.answered[0] == 5
    assert len(rejections(caplog)) > 2_000
    assert len(pool._connections._listener._guests) <= MAX_HANDSHAKES
