"""TLS between nodes: who cannot connect, and what a damaged connection does. Each rejection is one line of the log."""

import socket
from contextlib import closing

import pytest

from ddmlp.ray_backend.certificates import make_credentials
from ddmlp.training.worker_pool import REJECTED
from ddmlp.transport import protocol
from ddmlp.transport.frames import FrameSocket
from ddmlp.transport.tls import Credentials, Tls
from tests.support.certificates import expired_credentials
from tests.support.slow_link import slow_link
from tests.support.sockets import (
    CLIENT,
    SECONDS,
    SERVER,
    Encrypted,
    Training,
    admit,
    impatient,
    join,
    meet,
    next_frame,
    packed,
    rejections,
    work,
    worker,
)


@pytest.fixture(scope="module")
def expired():
    """Credentials signed by an authority of their own that were valid until yesterday."""
    return expired_credentials()


def signed_by(own, authority):
    """Credentials that trust an authority, which has not signed them."""
    return Credentials(authority.authority, own.certificate, own.key)


def test_foreign_worker(pool, dataset, caplog, trains):
    """Its certificate is of another run. It trusts the server's authority, so it rejects nothing itself."""
    address = Encrypted(pool.addresses[2])
    address.credentials = signed_by(make_credentials()[1], CLIENT)
    with pytest.raises(ConnectionError, match="TLS"):
        meet(pool, join, address, dataset)
    (line,) = rejections(caplog)
    assert "certificate verify failed" in line
    assert pool.stats.lost == 0
    trains()


def test_foreign_server(pool, dataset, caplog):
    """The worker does not trust it, and says nothing to it."""
    address = Encrypted(pool.addresses[2])
    address.credentials = make_credentials()[1]
    with pytest.raises(ConnectionError, match=r"certificate verify failed"):
        meet(pool, join, address, dataset)
    assert len(rejections(caplog)) == 1


def test_worker_as_server(dataset, threads):
    """The certificate of a worker is not one of a server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        joining = threads.submit(join, Encrypted(listener.getsockname()), dataset)
        impostor = FrameSocket(listener.accept()[0], Tls(CLIENT, server=True))
        with pytest.raises(ConnectionError, match="alert unsupported certificate"):
            next_frame(impostor)
        impostor.close()
        with pytest.raises(ConnectionError, match="verify failed: unsuitable certificate purpose"):
            joining.result(SECONDS)


def test_expired(pool, dataset, caplog, expired, trains):
    """The server's authority and certificate have expired, too, but it cannot be asked; the worker's is found out."""
    _, worker = expired
    bound = pool.listen(("127.0.0.1", 0), Tls(signed_by(SERVER, worker), server=True))
    address = Encrypted(bound)
    address.credentials = signed_by(worker, SERVER)
    with pytest.raises(ConnectionError, match="TLS"):
        meet(pool, join, address, dataset)
    (line,) = rejections(caplog)
    assert "certificate has expired" in line
    trains()


def test_worker_without_tls(pool, dataset, caplog):
    """It waits for a challenge, and gets none: nothing of a run is sent in plain text."""
    end = FrameSocket(protocol.connect(pool.addresses[2], SECONDS))
    assert not pool.gather(1, 0.05)
    assert end.receive() is None
    end.close()
    assert not pool.gather(1, 0.05)
    assert len(rejections(caplog)) == 1
    admit(pool, pool.addresses[2], dataset, 0).close()


def test_forwarded_handshake(pool, dataset, threads):
    """A worker's holder of a certificate between the two ends cannot pass on what proves the secret."""
    server, _ = make_credentials()
    authorities = Credentials(SERVER.authority + server.authority, CLIENT.certificate, CLIENT.key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = Encrypted(listener.getsockname())
        address.credentials = authorities  # it trusts both, as one with a company's authority does
        joining = threads.submit(join, address, dataset)
        middle = Tls(Credentials(SERVER.authority, server.certificate, server.key), server=True)
        with (
            closing(FrameSocket(listener.accept()[0], middle)) as worker,
            closing(FrameSocket(protocol.connect(pool.addresses[2], SECONDS), Tls(CLIENT, server=False))) as end,
        ):
            worker.send(meet(pool, next_frame, end))
            while worker.unsent:
                assert worker.receive() is None
                worker.flush()
            end.send(next_frame(worker))
            with pytest.raises((EOFError, ConnectionError)):
                meet(pool, next_frame, end)
        with pytest.raises(ConnectionError):
            joining.result(SECONDS)
    assert pool.count == 0


@pytest.mark.parametrize("at", [2_000, 20_000])
@pytest.mark.usefixtures("never_packed")
def test_flipped_bit(pool, dataset, threads, expected, at):
    """No flipped bit reaches the weights: the connection is dropped, and the units go to another worker."""
    with slow_link(pool.addresses[2], flip=at) as link:
        threads.submit(work, Encrypted(link.address), dataset, 0)
        threads.submit(work, pool.addresses[2], dataset, 1)
        pool.gather(2, 0.5)
        assert Training(pool, 2).run() == expected
        assert link.flipped.wait(SECONDS)


@pytest.mark.slow
@impatient(handshake=1)
def test_damaged_handshakes(pool, dataset, caplog, trains):
    """Whatever is damaged before the server knows the worker, the connection is rejected; others are not affected."""
    places = range(7, 1000, 90)
    for at in places:
        with slow_link(pool.addresses[2], flip=at) as link:
            with pytest.raises(ConnectionError):
                meet(pool, join, Encrypted(link.address), dataset)
            assert link.flipped.is_set()
    while len(rejections(caplog)) < len(places):
        pool.gather(1, 0.01)
    assert (pool.count, pool.stats.lost, len(rejections(caplog))) == (0, 0, len(places))
    trains()


def test_part_of_a_record():
    """It counts as a message that has begun, which has a time limit."""
    (mine, near), (far, theirs) = socket.socketpair(), socket.socketpair()
    client, server = FrameSocket(mine, Tls(CLIENT, server=False)), FrameSocket(theirs, Tls(SERVER, server=True))
    for end in (near, far):
        end.setblocking(False)
    with closing(client), closing(server), near, far:

        def forward(source, target, but=0):
            """Forward what has arrived, but for the last bytes, which are returned."""
            data = source.recv(70_000)
            target.sendall(data[: len(data) - but])
            return data[len(data) - but :]

        assert client.receive() is None
        forward(near, far)
        assert server.receive() is None
        forward(far, near)
        client.send(b"frame")
        last = forward(near, far, 1)
        assert server.receive() is None
        assert server.unread
        far.sendall(last)
        assert server.receive() == b"frame"
        assert not server.unread


def test_several_in_one_record(pool, dataset, threads, expected):
    """What is decrypted already is received, although no selector reports it."""
    link = admit(pool, pool.addresses[2], dataset, 0)
    threads.submit(work, pool.addresses[2], dataset, 1)
    assert pool.gather(2, SECONDS)

    def answer_and_fail():
        unit, weights = next(link.units())
        row_stats, array = worker(dataset).compute(unit, weights, link.gradient()), link.gradient().flat
        sent = packed(protocol.pack_answer(unit, row_stats, 0, array.nbytes, 0.0), array)
        link._wire._outgoing.append(memoryview(sent + packed(protocol.pack_failure(OSError("words")))))
        link._link.flush()

    answering = threads.submit(answer_and_fail)
    assert Training(pool, 2).run() == expected
    answering.result(SECONDS)
    while pool.count > 1:
        pool.gather(1_000, 0.01)
    (lost,) = pool.stats.newest_lost
    assert (lost.worker, lost.cause, lost.reason) == (0, REJECTED, "words")
    link.close()
