"""The worker's end of the message path: receives units from the parameter server and answers them."""

import logging
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Protocol

import numpy as np

from ddmlp.config import Timeouts
from ddmlp.errors import ClusterError, DdmlpError
from ddmlp.nn.steps import descend_sum
from ddmlp.nn.weights import Shape, Weights
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.messages import CREDITS, Unit
from ddmlp.training.worker_pool import name_of
from ddmlp.transport import protocol
from ddmlp.transport.packed_arrays import PackedArrays
from ddmlp.transport.server_link import ServerLink
from ddmlp.transport.shared_memory import Region
from ddmlp.transport.tls import Tls

log = logging.getLogger(__name__)

# Spin this long, yielding the CPU, before blocking: a blocked worker wakes late and may move to a busy core.
SPIN_SECONDS = 0.002


class StoppedError(Exception):
    """No more units are answered; the message is the reason."""


class Client(Protocol):
    """A worker's end of the message path. Its `units` must be answered one by one, in order."""

    @property
    def upstream(self) -> "WorkerClient":
        """The connection from which units come."""

    def units(self) -> Iterator[tuple[Unit, Weights]]:
        """Units and their weights as they arrive, until the server ends the stream or a connection ends."""

    def gradient(self) -> Weights:
        """The buffer for the gradient of the next answer."""

    def answer(self, unit: Unit, row_stats: RowStats) -> None:
        """Send the gradient in the buffer `gradient` as the answer to `unit`. Raises OSError."""

    def fail(self, error: BaseException) -> None:
        """Send the server the error that ends this worker."""

    def close(self) -> None:
        """End all connections."""


class Computing(Protocol):
    """What computes units: a worker, or a relay."""

    def compute(self, unit: Unit, weights: Weights, out: Weights) -> RowStats:
        """See `Worker.compute`. Raises StoppedError if no more units can be computed."""


class WorkerClient:
    """A connection to the server: a `Client`.

    wait: called while no unit has arrived, until one may have; waited: seconds for the unit that is being computed;
    times: sent with its answer, see `send_times`.
    """

    def __init__(
        self,
        address: protocol.Address,
        secret: bytes,
        hello: protocol.Hello,
        shape: Shape,
        timeouts: Timeouts,
        tls: Tls | None = None,
    ) -> None:
        """Connect. tls: encrypts the connection.

        Raises ClusterError if the server rejects the worker, ConnectionError if it cannot be reached.
        """
        self._link = link = ServerLink(address, secret, hello, timeouts, tls)
        try:
            shared, answers = self._map(shape)
        except BaseException as error:
            link.close()
            if isinstance(error, OSError | ValueError):
                raise link.unreachable(error) from None
            raise
        self._wire, self._arrays = link.wire, PackedArrays(link.wire, shape)
        self.wait: Callable[[], object] = link.readable.poll
        self._readable = link.readable
        # Over a network one buffer each is enough: an array is sent before the next one arrives.
        self._weights = shared or [Weights(shape)]
        self._gradients = answers or [Weights(shape)]
        self._shared = link.welcome.shared
        self._next = 0
        self._version = -1  # of the weights, over a network
        self.waited = 0.0
        self.times = b""
        how = (
            "memory is shared" if self._shared else f"arrays go over the network, {'encrypted' if tls else 'in plain'}"
        )
        log.info("%s connected to the server at %s: %s", name_of(hello.worker), address, how)

    def _map(self, shape: Shape) -> tuple[list[Weights], list[Weights]]:
        """The buffers shared with the server: for weights, and for gradients."""
        welcome = self._link.welcome
        if not welcome.shared:
            return [], []
        self._link.wait_readable()
        end = self._link.wire.socket
        assert isinstance(end, socket.socket), "a Unix socket, without TLS"
        _, descriptors, *_ = socket.recv_fds(end, 1, 2)
        if len(descriptors) != 2:
            raise ValueError(f"received {len(descriptors)} descriptors, expected 2")
        regions = [
            Region(descriptor, count, shape.size)
            for descriptor, count in zip(descriptors, (welcome.slots, CREDITS), strict=True)
        ]
        for region in regions:
            region.close()
        weights, gradients = ([Weights(shape, buffer) for buffer in region.buffers] for region in regions)
        return weights, gradients

    def units(self) -> Iterator[tuple[Unit, Weights]]:
        """Units and their weights as they arrive, until the server ends the stream or the connection ends."""
        while True:
            start = time.monotonic()
            try:
                while (frame := self._wire.receive(protocol.UNIT_BYTES)) is None:
                    if time.monotonic() < start + SPIN_SECONDS:
                        os.sched_yield()
                    else:
                        self.wait()
                if not frame:
                    return
                unit, slot, follows, step_size = protocol.unpack_unit(frame)
                weights = self._weights[slot if self._shared else 0]
                if follows:
                    self._receive_weights(unit.version, weights, follows, step_size)
            except (EOFError, OSError) as error:
                log.info("the connection to the server has ended: %s", str(error))
                return
            except (ValueError, IndexError, struct.error) as error:
                log.warning("malformed message from the server: %s", protocol.printable(str(error)))
                return
            self.waited = time.monotonic() - start
            yield unit, weights

    def _receive_weights(self, version: int, weights: Weights, follows: int, step_size: float) -> None:
        """Receive the weights of a version, or the packed update that makes them of those before. Raises EOFError,
        OSError and ValueError."""
        self._arrays.check(follows)
        whole = follows == weights.flat.nbytes
        if not whole and (self._shared or version != self._version + 1):
            raise ValueError(f"the server sent an update to version {version}, expected to {self._version + 1}")
        # No gradient is under way, so its buffer is free for that of the update.
        out = (weights if whole else self.gradient()).flat
        while not self._arrays.receive(follows, out):
            self._readable.poll()
        if not whole:
            descend_sum(weights.flat, out, out[:0], np.float32(step_size), weights.flat)
        self._version = version

    def gradient(self) -> Weights:
        """The buffer for the gradient of the next answer."""
        return self._gradients[self._next]

    def answer(self, unit: Unit, row_stats: RowStats) -> None:
        """Send the gradient in the buffer `gradient` as the answer to `unit`."""
        array = None if self._shared else self._arrays.to_send(self.gradient().flat)
        follows = 0 if array is None else array.nbytes
        frame = protocol.pack_answer(unit, row_stats, self._next, follows, self.waited)
        self._link.send(frame + self.times, array)
        self._next = (self._next + 1) % len(self._gradients)
        os.sched_yield()  # to the server, which may share this core

    def add_wait(self, seconds: float) -> None:
        """Count more time as waited for the unit that is being computed."""
        self.waited += seconds

    def fileno(self) -> int:
        """The descriptor of the socket, for selectors."""
        return self._wire.fileno()

    def report(self, status: protocol.Status) -> None:
        """Send the status of a relay. Raises OSError."""
        self._wire.send(protocol.pack_status(status))
        self._link.flush()

    @property
    def upstream(self) -> "WorkerClient":
        """This connection."""
        return self

    def fail(self, error: BaseException) -> None:
        """Send the server the error that ends this worker."""
        with suppress(OSError):  # the server may have ended
            self._link.send(protocol.pack_failure(error))

    def close(self) -> None:
        self._link.close()


def run_worker(worker: Computing, client: Client) -> int:
    """Answer units until there are no more; returns their number.

    An error is sent to the server, and raised as a `DdmlpError`.
    """
    answered = 0
    debug = log.isEnabledFor(logging.DEBUG)  # asked once: a unit costs nothing if it is not logged
    try:
        for unit, weights in client.units():
            try:
                row_stats = worker.compute(unit, weights, client.gradient())
            except StoppedError:
                raise
            except Exception as error:
                found = error if isinstance(error, DdmlpError) else ClusterError(f"{type(error).__name__}: {error}")
                client.fail(found)
                raise found from (None if found is error else error)
            try:
                client.answer(unit, row_stats)
            except OSError:
                break  # the server has ended
            answered += 1
            if debug:
                log.debug("%s computed, of %d rows", unit, row_stats.rows)
    except StoppedError as error:
        log.info("%s", error)
    finally:
        client.close()
    return answered
