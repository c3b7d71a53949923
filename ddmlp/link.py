"""A worker's end of the message path: takes units from the parameter server, and answers them."""

from collections.abc import Iterator
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client
from multiprocessing.reduction import recv_handle

from ddmlp import wire
from ddmlp.errors import ClusterError, DdmlpError
from ddmlp.network import Shape, Weights
from ddmlp.queues import CREDITS, Unit
from ddmlp.shared_memory import Region
from ddmlp.worker import Worker

RING = 2  # versions of the weights that are readable at a time: the current one, and the next while it is written


class Link:
    """Connects to the server; then `units` are to be answered one by one, in order."""

    def __init__(self, address: wire.Address, secret: bytes, hello: wire.Hello, shape: Shape) -> None:
        """Raises ClusterError where the server refuses, saying why, or is not there."""
        try:
            self._connection = Client(address, authkey=secret)
            wire.bound_waits(self._connection, receiving=False)
            self._connection.send_bytes(hello.dump())
            welcome = wire.Welcome.load(self._connection.recv_bytes())
            if welcome.refused is not None:
                raise ClusterError(f"the server refuses worker {hello.worker}: {welcome.refused}")
            self._shared = Region(recv_handle(self._connection), RING, shape.size) if welcome.shared else None
            self._slots = Region(recv_handle(self._connection), CREDITS, shape.size) if welcome.shared else None
        except (OSError, EOFError, AuthenticationError) as error:
            raise ClusterError(f"worker {hello.worker} cannot reach the server at {address}: {error!r}") from None
        count = CREDITS if self._slots else 1
        self._gradients = [Weights(shape, self._slots.buffers[slot] if self._slots else None) for slot in range(count)]
        self._ring = [Weights(shape, self._shared.buffers[slot] if self._shared else None) for slot in range(RING)]
        self._next = 0

    def units(self) -> Iterator[Unit]:
        """Units as they come, until the server says that there are no more, or goes away."""
        while True:
            try:
                frame = self._connection.recv_bytes()
                if not frame:
                    return
                unit, weights_follow = wire.unpack_unit(frame)
                if weights_follow:
                    wire.receive_array(self._connection, self.weights(unit.version).flat)
            except (EOFError, OSError):
                return
            yield unit

    def weights(self, version: int) -> Weights:
        """The weights of `version`: shared with the server, or as they were sent."""
        return self._ring[version % RING]

    def gradient(self) -> Weights:
        """Where the next answer's gradient is to be written."""
        return self._gradients[self._next]

    def answer(self, unit: Unit, error: float, mistakes: int) -> None:
        """Send the gradient in `gradient` as the answer to `unit`."""
        self._connection.send_bytes(wire.pack_answer(unit, error, mistakes, self._next))
        if self._slots is None:
            self._connection.send_bytes(self.gradient().flat.data)
        self._next = (self._next + 1) % len(self._gradients)

    def fail(self, error: BaseException) -> None:
        """Tell the server why there will be no more answers."""
        self._connection.send_bytes(wire.pack_failure(error))

    def close(self) -> None:
        self._connection.close()


def serve(worker: Worker, link: Link) -> int:
    """Answer units until there are no more; returns how many. An error of ours is told to the server, and raised."""
    answered = 0
    try:
        for unit in link.units():
            error, mistakes = worker.compute(unit, link.weights(unit.version), link.gradient())
            link.answer(unit, error, mistakes)
            answered += 1
    except DdmlpError as error:
        link.fail(error)
        raise
    except (BrokenPipeError, ConnectionResetError):
        pass  # the server is gone, and with it whoever waits for an answer
    finally:
        link.close()
    return answered
