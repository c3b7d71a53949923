"""A worker's end of the message path: takes units from the parameter server, and answers them."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client
from multiprocessing.reduction import recv_handle

from ddmlp.config import Timeouts
from ddmlp.errors import ClusterError, DdmlpError
from ddmlp.nn.weights import Shape, Weights
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.messages import CREDITS, Unit
from ddmlp.training.worker import Worker
from ddmlp.transport import protocol
from ddmlp.transport.shared_memory import Region

# Spin this long, yielding the CPU, before blocking: a blocked worker wakes late and may move to a busy core.
SPIN_SECONDS = 0.002


class WorkerClient:
    """Connects to the server; then `units` are to be answered one by one, in order."""

    def __init__(
        self, address: protocol.Address, secret: bytes, hello: protocol.Hello, shape: Shape, timeouts: Timeouts
    ) -> None:
        """Raises ClusterError if the server rejects the worker, and ConnectionError if it cannot be reached."""
        try:
            self._connection = Client(address, authkey=secret)
            protocol.bound_waits(self._connection, timeouts.message, receiving=False)
            self._connection.send_bytes(protocol.pack(hello))
            welcome = protocol.unpack(self._connection.recv_bytes(), protocol.Welcome)
            if welcome.refused is not None:
                raise ClusterError(f"the server rejects worker {hello.worker}: {protocol.printable(welcome.refused)}")
            shared = self._mapped(welcome.slots, shape) if welcome.shared else []
            answers = self._mapped(CREDITS, shape) if welcome.shared else []
        # An assertion is how the standard library meets somebody else's service.
        except (OSError, EOFError, ValueError, TypeError, AssertionError, AuthenticationError) as error:
            raise ConnectionError(
                f"worker {hello.worker} cannot reach the server at {address}: {error!r}; can their nodes connect?"
            ) from None
        # Where nothing is shared one buffer each is enough: an array is sent on before the next one comes.
        self._weights = shared or [Weights(shape)]
        self._gradients = answers or [Weights(shape)]
        self._shared = welcome.shared
        self._next = 0
        self._waited = 0.0  # seconds for the unit that is being computed

    def _mapped(self, count: int, shape: Shape) -> list[Weights]:
        """The buffers of a region whose descriptor comes next; it is gone with the last of them."""
        region = Region(recv_handle(self._connection), count, shape.size)
        region.close()
        return [Weights(shape, buffer) for buffer in region.buffers]

    def units(self) -> Iterator[tuple[Unit, Weights]]:
        """Units and their weights as they come, until the server says that there are no more, or goes away."""
        while True:
            try:
                start = time.monotonic()
                while not self.waiting and time.monotonic() < start + SPIN_SECONDS:
                    os.sched_yield()
                frame = self._connection.recv_bytes()
                if not frame:
                    return
                unit, slot, weights_follow = protocol.unpack_unit(frame)
                weights = self._weights[slot if self._shared else 0]
                if weights_follow:
                    protocol.receive_array(self._connection, weights.flat)
                self._waited = time.monotonic() - start
            except (EOFError, OSError):
                return
            yield unit, weights

    @property
    def waiting(self) -> bool:
        """Whether there is a unit to be taken."""
        return self._connection.poll()

    def gradient(self) -> Weights:
        """Where the next answer's gradient is to be written."""
        return self._gradients[self._next]

    def answer(self, unit: Unit, row_stats: RowStats) -> None:
        """Send the gradient in `gradient` as the answer to `unit`."""
        self._connection.send_bytes(protocol.pack_answer(unit, row_stats, self._next, self._waited))
        if not self._shared:
            self._connection.send_bytes(self.gradient().flat.data)
        self._next = (self._next + 1) % len(self._gradients)
        os.sched_yield()  # to the server, if it has to share this core

    def fail(self, error: BaseException) -> None:
        """Tell the server why there will be no more answers."""
        with suppress(OSError):  # it may be gone
            self._connection.send_bytes(protocol.pack_failure(error))

    def close(self) -> None:
        self._connection.close()


def run_worker(worker: Worker, client: WorkerClient) -> int:
    """Answer units until there are no more; returns how many. An error is told to the server, and raised as one of
    ours."""
    answered = 0
    try:
        for unit, weights in client.units():
            try:
                row_stats = worker.compute(unit, weights, client.gradient())
            except Exception as error:
                found = error if isinstance(error, DdmlpError) else ClusterError(f"{type(error).__name__}: {error}")
                client.fail(found)
                raise found from (None if found is error else error)
            try:
                client.answer(unit, row_stats)
            except OSError:
                break  # the server is gone, and with it whoever waits for an answer
            answered += 1
    finally:
        client.close()
    return answered
