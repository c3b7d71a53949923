"""Clients that no server should accept or believe: each does something wrong, and changes nothing for the others."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from msgspec import structs

from ddmlp.config import Timeouts
from ddmlp.data.dataset import Dataset
from ddmlp.errors import ClusterError
from ddmlp.ray_backend.endpoint import Endpoint
from ddmlp.training.job import Job
from ddmlp.training.pixel_stage import PixelStage
from ddmlp.training.slices import NOTHING_HERE
from ddmlp.training.worker import Worker
from ddmlp.transport import protocol
from ddmlp.transport.client import WorkerClient
from ddmlp.transport.frames import FrameSocket
from ddmlp.transport.handshake import Handshake
from ddmlp.transport.slice_client import SliceClient
from tests.simulation.network import Address, FakeSocket, Network
from tests.simulation.worker import connect
from tests.support.sockets import packed

SECONDS = 0.5
CROWD = 70  # more than handshakes that may be under way


class Stranger:
    """A client that knows the address of a server, and perhaps the secret."""

    def __init__(
        self,
        network: Network,
        job: Job,
        dataset: Dataset,
        endpoint: Endpoint,
        address: Address,
        hello: protocol.Hello,
        taken: list[int],
    ) -> None:
        """address: of the server that it connects to; hello: one that would be accepted; taken: numbers of workers that
        are connected there."""
        self.network, self.scheduler, self.draw = network, network.scheduler, network.scheduler.draw
        self.job, self.dataset, self.endpoint = job, dataset, endpoint
        self.address, self.hello, self.taken = address, hello, taken

    def run(self) -> None:
        """Connect, and do something wrong."""
        kind = self.draw.choice(KINDS)
        self.network.fired.add(f"stranger: {kind.__name__}")
        with suppress(OSError, EOFError, ValueError):
            kind(self)

    def connect(self) -> FakeSocket:
        end: Any = protocol.connect(self.address, SECONDS)
        return end

    def wait(self, seconds: float = SECONDS) -> None:
        self.scheduler.wait(self.draw.random() * seconds)

    def dial(self) -> FrameSocket:
        return FrameSocket(protocol.connect(self.address, SECONDS))

    def heard(self, wire: FrameSocket) -> bytes | None:
        """The next frame of the server; None if it sends none. Raises EOFError."""
        end: Any = wire.socket
        until = self.scheduler.now + SECONDS
        while (frame := wire.receive()) is None and self.scheduler.now < until:
            self.scheduler.wait(until - self.scheduler.now, end.readable)
        return frame

    def join(self, hello: protocol.Hello) -> WorkerClient:
        """Join one server as a worker."""
        shape = NOTHING_HERE if self.endpoint.servers else self.job.shape(self.dataset.manifest)
        return WorkerClient(self.address, self.endpoint.secret, hello, shape, Timeouts(server=5.0))


def silence(stranger: Stranger) -> None:
    stranger.connect()
    stranger.wait(20.0)


def hang_up(stranger: Stranger) -> None:
    stranger.connect().close()


def garbage(stranger: Stranger) -> None:
    end = stranger.connect()
    for _ in range(stranger.draw.randint(1, 4)):
        end.send(stranger.draw.randbytes(stranger.draw.randint(1, 100)))
        stranger.wait()


def huge(stranger: Stranger) -> None:
    stranger.connect().send(b"\xff\xff\xff\x7f" + bytes(8))
    stranger.wait()


def crowd(stranger: Stranger) -> None:
    ends = [stranger.connect() for _ in range(CROWD)]
    stranger.wait()
    for end in ends:
        end.close()


def replay(stranger: Stranger) -> None:
    """Send again what a worker or another client once sent."""
    recordings = [*stranger.network.recordings, *(bytes(end.recorded) for end in stranger.network.connections())]
    wire = stranger.dial()
    if stranger.heard(wire) is None:
        return  # the server is busy; its challenge is no answer
    if recordings:
        wire.socket.send(stranger.draw.choice(recordings))
    assert stranger.heard(wire) is None, "the server has answered a recorded message"


def guess(stranger: Stranger) -> None:
    """A hello with another secret."""
    wire = stranger.dial()
    if (challenge := stranger.heard(wire)) is None:
        return
    wire.send(Handshake(b"another secret").hello(challenge, protocol.pack(stranger.hello)))
    assert stranger.heard(wire) is None, "the server has answered a client that does not know the secret"


def double(stranger: Stranger) -> None:
    """A worker with the number of another one."""
    if stranger.taken:
        with suppress(ClusterError):
            stranger.join(structs.replace(stranger.hello, worker=stranger.draw.choice(stranger.taken))).close()


def other_data(stranger: Stranger) -> None:
    """A worker with another dataset."""
    with suppress(ClusterError):
        stranger.join(structs.replace(stranger.hello, dataset_sha256="f" * 64))
        raise AssertionError("a worker with another dataset was accepted")


def malformed(stranger: Stranger) -> None:
    """A worker that is accepted, and then sends something else than an answer or a gradient."""
    client = stranger.join(stranger.hello)
    try:
        noise = stranger.draw.randbytes(protocol.ANSWER_BYTES)
        client._wire.socket.send(
            stranger.draw.choice((packed(noise), packed(b"A" + noise[1:]), packed(b"F{}"), packed(b""), noise))
        )
        stranger.wait()
    finally:
        client.close()


def twice(stranger: Stranger) -> None:
    """A worker that sends its right answer twice, to all servers."""
    job, dataset = stranger.job, stranger.dataset
    far = isinstance(stranger.address, tuple)
    client = connect(stranger.endpoint, stranger.hello, job, dataset, far=far)
    worker = Worker(dataset, job.plan(dataset.manifest), job.shape(dataset.manifest), stage=PixelStage.of(job, dataset))
    try:
        for unit, weights in client.units():
            row_stats = worker.compute(unit, weights, client.gradient())
            first = client._coordinator if isinstance(client, SliceClient) else client
            assert isinstance(first, WorkerClient)
            slot = first._next
            client.answer(unit, row_stats)
            first._next, following = slot, first._next
            client.answer(unit, row_stats)
            first._next = following
    finally:
        client.close()


KINDS: list[Callable[[Stranger], None]] = [
    silence, hang_up, garbage, huge, crowd, replay, guess, double, other_data, malformed, twice,
]  # fmt: skip
