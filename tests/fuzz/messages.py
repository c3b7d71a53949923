"""Inputs from other processes: pictures, request bodies, and frames between ddmlp's own processes."""

import io
import select
import socket
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial

import msgspec
import numpy as np
from PIL import Image

from ddmlp.errors import DdmlpError, RunError
from ddmlp.inference.images import read_picture
from ddmlp.inference.model import Model
from ddmlp.nn.packing import pack, unpack
from ddmlp.nn.weights import Shape, Weights
from ddmlp.plan.reduction_tree import Node
from ddmlp.plan.row_stats import RowStats
from ddmlp.serving.uploads import read_images
from ddmlp.training.messages import Unit
from ddmlp.training.worker_pool import name_of
from ddmlp.transport import protocol
from ddmlp.transport.client import WorkerClient
from ddmlp.transport.frames import FrameSocket
from ddmlp.transport.handshake import Handshake
from ddmlp.transport.packed_arrays import PackedArrays
from ddmlp.transport.peer import Peer
from ddmlp.transport.slice_messages import APPLY, GRADIENT, LOAD, READ, Message
from ddmlp.transport.slice_peer import COORDINATOR, SlicePeer
from tests.fuzz.kind import Kind, Meaning
from tests.fuzz.mutations import BYTES, JSON
from tests.support.sockets import SECRET, packed

TALLY = RowStats(4, 5, 0.5, 1, 0.25)
ANSWER = protocol.ANSWER_BYTES


def requests() -> Iterator[Kind]:
    digit = np.full((40, 40), 255, np.uint8)
    digit[8:32, 18:23] = 0
    pictures = []
    for form in ("PNG", "JPEG", "GIF", "BMP"):
        Image.fromarray(digit).save(out := io.BytesIO(), form)
        pictures.append(out.getvalue())

    def picture(content: bytes) -> Meaning:
        return read_picture(io.BytesIO(content), "the picture", (28, 28)).pixels.tobytes()

    yield Kind("pictures", pictures, picture)

    model = Model(Weights.draw(Shape(6, 4, 3), 0), (3, 2))

    def body(content: bytes) -> Meaning:
        found, several = read_images("application/json", content, model)
        return [each.pixels.tolist() for each in found], several

    image = [[0, 255], [1, 2], [3, 4]]
    yield Kind("request bodies", [msgspec.json.encode(each) for each in (image, [image, image])], body, JSON)


def frames() -> Iterator[Kind]:
    unit, shape = Unit(3, 2, Node(0, 4)), Shape(6, 4, 3)
    hello = protocol.pack(protocol.Hello(1, protocol.VERSION, "a" * 64, "b" * 64, {"hidden": 4}))
    welcome = protocol.pack(protocol.Welcome(True, 4, "so"))
    answer = protocol.pack_answer(unit, TALLY, 0, 4 * shape.size, 0.5)
    failure = protocol.pack_failure(RunError("x"))
    for name, good, read, changes in [
        ("hello", hello, lambda frame: protocol.unpack(frame, protocol.Hello), JSON),
        ("welcome", welcome, lambda frame: protocol.unpack(frame, protocol.Welcome), JSON),
        ("unit", protocol.pack_unit(unit, 1, 0), protocol.unpack_unit, BYTES),
        ("answer", answer, protocol.unpack_answer, BYTES),
        ("slice", Message(APPLY, 3, 2, Node(0, 4), 0, 0.5, (1, 2)).pack(), Message.unpack, BYTES),
        ("failure", failure, lambda frame: str(protocol.unpack_failure(frame)), JSON),
    ]:
        yield Kind(f"frame: {name}", [good], read, changes, refusals=(ValueError, struct.error))
    server, worker = Handshake(SECRET, bytes(32)), Handshake(SECRET, bytes(32))
    said = worker.hello(server.challenge, hello)
    server.read_hello(said)
    replied = server.welcome(welcome)
    for name, good, read in [("hello", said, server.read_hello), ("welcome", replied, worker.read_welcome)]:
        yield Kind(f"handshake: {name}", [good], read, sealed=True, refusals=(ValueError,))

    def whole(sent: bytes) -> Meaning:
        with _arriving(sent) as wire:
            return wire.receive(), wire.receive(5)

    lost = ValueError, OSError, EOFError
    two = packed(b"three") + packed(b"")
    yield Kind("connection: frames", [two], whole, refusals=lost)

    def of_peer(sent: bytes) -> Meaning:
        with _arriving(sent) as wire:
            found = Peer(0, "here", wire, None, shape).receive(unit)
            assert found is not None, "the connection is closed"
            return found._replace(flat=found.flat.tobytes())

    array = np.arange(shape.size, dtype=np.float32)
    answered = [packed(answer, array)]
    refusals = *lost, DdmlpError
    yield Kind("connection: answers", answered, of_peer, sealed=True, refusals=refusals)

    def adapted(content: bytes) -> Meaning:
        rest = content[ANSWER:].ljust(array.nbytes, b"\0")[: array.nbytes]
        return of_peer(packed(content[:ANSWER], np.frombuffer(rest, np.float32)))

    def of_slice_peer(worker: int, sent: bytes) -> Meaning:
        with _arriving(sent) as wire:
            peer = SlicePeer(worker, "here", wire, None, shape)
            found = peer.message()
            assert found is not None, "the connection is closed"
            return found, peer.array.tobytes()

    for number, kind in [(COORDINATOR, LOAD), (0, GRADIENT)]:
        sent = [packed(Message.about(kind, unit, array.nbytes).pack(), array), packed(Message(READ).pack())]
        read = partial(of_slice_peer, number)
        yield Kind(f"connection: messages of {name_of(number)} to a server", sent, read, sealed=True, refusals=lost)

    weights = packed(protocol.pack_unit(unit, 1, array.nbytes), array) + packed(b"")

    def of_server(sent: bytes) -> Meaning:
        """The units that a worker receives until its connection ends."""
        with _arriving(sent) as wire:
            client = WorkerClient.__new__(WorkerClient)
            client._wire, client._shared, client._weights = wire, False, [Weights(shape)]
            client._gradients, client._next, client._version = [Weights(shape)], 0, 1
            client._arrays, client._readable = PackedArrays(wire, shape), select.poll()
            client._readable.register(wire, select.POLLIN)
            client.wait = client._readable.poll
            found = [(each, weights.flat.tobytes()) for each, weights in client.units()]
        if not found:
            raise EOFError("the connection has ended without a unit")
        return found

    rounded = np.zeros(shape.size, np.float32)
    rounded[:4], rounded[64:68] = (1, -5, 0.5, 3), (0.1, -0.0, 1e30, -1e-40)
    packed_array = pack(shape, rounded, np.empty_like(rounded))
    assert packed_array is not None

    def unpacked(content: bytes) -> Meaning:
        words = np.frombuffer(content[: len(content) // 4 * 4], np.float32).copy()
        unpack(shape, words, out := np.empty_like(rounded))
        return out.tobytes()

    yield Kind("packed array", [packed_array.tobytes()], unpacked, refusals=(ValueError,))
    yield Kind("connection: units", [weights], of_server, sealed=True, refusals=(EOFError,))
    yield Kind("connection: answers with matching checksum", [answer + array.tobytes()], adapted, refusals=refusals)


@contextmanager
def _arriving(sent: bytes) -> Iterator[FrameSocket]:
    """Open a connection whose other end has sent `sent` and closed it."""
    one, end = socket.socketpair()
    with one, closing(FrameSocket(end)) as wire:
        one.setblocking(False)
        one.send(sent)
        one.close()
        yield wire
