"""Relays in threads, without Ray."""

import tempfile
from contextlib import contextmanager

from ddmlp.config import Timeouts
from ddmlp.training.worker_pool import relay_number
from ddmlp.transport.relay import run_relay
from ddmlp.transport.socket_pool import SocketWorkerPool
from tests.support.sockets import CAPACITY, SECRET, SHAPE, hello, join, work


class Node:
    """A node with a relay and its workers.

    pool: the relay's; serving: the call that runs the relay; working: those that run its workers.
    """

    def __init__(self, folder, threads, dataset, connect, workers, timeouts=None):
        """connect: connects the relay to its server."""
        self.threads, self.dataset = threads, dataset
        self.pool = SocketWorkerPool(
            SHAPE,
            hello(-1, dataset),
            SECRET,
            [f"{folder}/relay"],
            capacity=CAPACITY,
            timeouts=timeouts or Timeouts(overdue=3_600),  # no worker is overdue, however busy the machine is
            cores=64,  # all workers get units, however few cores there are
        )
        self.address = self.pool.addresses[0]
        self.serving = threads.submit(run_relay, self.pool, connect, SHAPE)
        self.working = [self.start(number) for number in workers]

    def start(self, number):
        """Start a worker."""
        return self.threads.submit(work, self.address, self.dataset, number)


@contextmanager
def node(threads, dataset, address, *workers, index=0, timeouts=None, connect=None):
    """A node, whose relay connects to a server at an address. Its threads end with the server."""
    with tempfile.TemporaryDirectory(prefix="ddr", dir="/tmp") as folder:
        connect = connect or (lambda: join(address, dataset, relay_number(index), host=f"far{index}"))
        yield Node(folder, threads, dataset, connect, workers, timeouts)
