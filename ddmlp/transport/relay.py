"""A relay: stands between the server and the workers of one node. Weights reach the node once, and one gradient, the
sum of its workers', leaves it."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from ddmlp.errors import DdmlpError
from ddmlp.nn.steps import add_gradient
from ddmlp.nn.weights import Shape, Weights
from ddmlp.plan.cut import cut
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.messages import Unit
from ddmlp.training.reduction import BufferPool, Reduction
from ddmlp.transport.client import Client, StoppedError, run_worker
from ddmlp.transport.protocol import Status
from ddmlp.transport.socket_pool import SocketWorkerPool
from ddmlp.transport.unit_times import send_times

LOOK_SECONDS = 1.0  # between checks of the workers
LOST, REASON = 100, 200  # lost workers in a status, and characters of each reason


class Relay:
    """Computes units by the workers of a pool, and reports them to the server. It has the methods of a `Worker`.

    Parameters
    ----------
    pool : SocketWorkerPool
        The workers. At least one is connected.
    client : Client
        The connection to the server.
    shape : Shape
        The shape of the network.
    """

    def __init__(self, pool: SocketWorkerPool, client: Client, shape: Shape) -> None:
        self._pool, self._client = pool, client
        self._upstream = client.upstream
        self._buffers = BufferPool(shape)
        self._version = -1  # of the newest weights in the pool
        self._waited = 0.0  # seconds of workers for units, when the last unit was answered
        self._reported = Status(0, {})
        self._lost = 0  # how many lost workers are reported
        self._reissued = self._compared = 0

    def compute(self, unit: Unit, weights: Weights, out: Weights) -> RowStats:
        """Compute the gradient of a unit; see `Worker.compute`.

        Raises StoppedError if no worker is left, and what the pool raises.
        """
        pool = self._pool
        if unit.version != self._version:
            pool.reserve_weights(()).flat[:] = weights.flat
            pool.publish_weights(unit.version)
            self._version = unit.version
        nodes = deque(cut(unit.node, pool.capacities or (1,)))
        reduction = Reduction(unit.version, unit.node, self._buffers)
        while not reduction.complete:
            while nodes and not pool.full:
                pool.submit(Unit(unit.step, unit.version, nodes.popleft()))
            gradient = pool.next_result(LOOK_SECONDS)
            if gradient is not None:
                reduction.add_gradient(gradient)
            self.report(progress=False)
        left, right, row_stats = reduction.halves
        out.flat[:] = left
        if right.size:
            add_gradient(out.flat, right)
        reduction.release()
        waited = pool.stats.waited
        self._upstream.waited, self._waited = waited - self._waited, waited
        self.report()
        return row_stats

    def wait(self) -> None:
        """Serve the workers until the server has sent something, or for a moment."""
        self.report(progress=False)
        try:
            self._pool.serve(time.monotonic() + LOOK_SECONDS, beside=self._upstream)
        except DdmlpError as error:
            self._client.fail(error)
            raise

    def report(self, *, progress: bool = True) -> None:
        """Tell the server of the workers, if they have changed; progress: or have only answered units.

        Raises StoppedError if none is left, or the server has ended.
        """
        stats = self._pool.stats
        capacity = max(1, sum(self._pool.capacities)) if stats.workers else 0
        lost = stats.newest_lost[max(0, len(stats.newest_lost) - stats.lost + self._lost) :]
        known, lost = self._reported, [replace(each, host="", reason=each.reason[:REASON]) for each in lost[-LOST:]]
        if lost or capacity != known.capacity or stats.answered.keys() != known.answered.keys() or progress:
            self._reported = Status(
                capacity, stats.answered, lost, stats.reissued - self._reissued, stats.compared - self._compared
            )
            self._lost, self._reissued, self._compared = stats.lost, stats.reissued, stats.compared
            try:
                self._upstream.report(self._reported)
            except OSError as error:
                raise StoppedError(f"the server has ended: {error}") from None
        if not stats.workers:
            raise StoppedError("no worker is left on this node")


def run_relay(pool: SocketWorkerPool, connect: Callable[[], Client], shape: Shape, *, trace: bool = False) -> int:
    """Connect to the server once a worker is connected to `pool`; answer units until the server has ended, or all
    workers have. Then release the workers; returns the number of units. trace: answer with the times of each unit.

    Raises as `run_worker` does, and what `connect` raises.
    """
    try:
        while not pool.gather(1, LOOK_SECONDS):
            pass
        client = connect()
        relay = Relay(pool, client, shape)
        client.upstream.wait = relay.wait
        if trace:
            send_times(relay, client)
        return run_worker(relay, client)
    finally:
        pool.close()
