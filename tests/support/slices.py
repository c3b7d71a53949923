"""Servers of slices in threads, and trainings on them, without Ray."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ddmlp.config import Timeouts, TrainConfig
from ddmlp.nn.optimizer import SGD
from ddmlp.nn.weights import Weights
from ddmlp.training.coordinator import Coordinator
from ddmlp.training.messages import CREDITS
from ddmlp.training.slices import NOTHING_HERE, cut, slice_shape
from ddmlp.training.step_loop import StepLoop
from ddmlp.training.weight_slice import WeightSlice
from ddmlp.transport.client import WorkerClient, run_worker
from ddmlp.transport.slice_client import SliceClient
from ddmlp.transport.slice_commands import SliceCommands
from ddmlp.transport.slice_links import SliceLinks
from ddmlp.transport.slice_server import SliceServer
from ddmlp.transport.socket_pool import SocketWorkerPool
from ddmlp.transport.tls import Tls
from tests.support.sockets import CLIENT, PLAN, SECRET, SERVER, SHAPE, FixedParts, Training, hello, worker

CONFIG = TrainConfig(lr=0.5, lr_schedule="constant", batch=PLAN.batch)


class Servers:
    """Servers in threads. addresses: of each one, on a Unix socket and on TCP, which may be encrypted."""

    def __init__(self, dataset, count, folder, timeouts=None, encrypted=False):
        self.tls = Tls(CLIENT, server=False) if encrypted else None
        accepts = Tls(SERVER, server=True) if encrypted else None
        self.dataset, self.timeouts = dataset, timeouts or Timeouts()
        self.parts, self.servers = [], []
        for number, part in enumerate(cut(SHAPE, count)):
            shape = slice_shape(part)
            self.parts.append(WeightSlice(shape, SGD(CONFIG)))
            addresses = [f"{folder}/server-{number}", ("127.0.0.1", 0)]
            self.servers.append(
                SliceServer(self.parts[-1], shape, hello(-1, dataset), SECRET, addresses, self.timeouts, accepts)
            )
        self.addresses = [[server.addresses[kind] for server in self.servers] for kind in (0, 1)]
        self.threads = ThreadPoolExecutor(count)
        self.serving = [self.threads.submit(server.serve) for server in self.servers]

    def command(self, kind=0):
        """Connect as the coordinator."""
        return SliceCommands(self.addresses[kind], SECRET, hello(-1, self.dataset), SHAPE, self.timeouts, self.tls)

    def link(self, number, kind=0):
        """Connect as a worker."""
        return SliceLinks(self.addresses[kind], SECRET, hello(number, self.dataset), SHAPE, self.timeouts, self.tls)


@contextmanager
def serving(dataset, count, timeouts=None, encrypted=False):
    """Servers in threads. They end once their coordinator has, so one must connect."""
    with tempfile.TemporaryDirectory(prefix="dds", dir="/tmp") as folder:
        servers = Servers(dataset, count, folder, timeouts, encrypted)
        with servers.threads:
            yield servers


def join(address, servers, kind, number):
    """Connect a worker; return its client."""
    client = WorkerClient(address, SECRET, hello(number, servers.dataset), NOTHING_HERE, servers.timeouts)
    return SliceClient(client, servers.link(number, kind), SHAPE)


def work(address, servers, kind, number):
    """Run a worker to its end; return the number of units that it answered."""
    return run_worker(worker(servers.dataset), join(address, servers, kind, number))


class SliceTraining(Training):
    """The step loop of a coordinator, with units for `count` workers."""

    def __init__(self, servers, commands, folder, count, kind=0):
        from ddmlp.training.job import Job

        address = f"{folder}/coordinator" if kind == 0 else ("127.0.0.1", 0)
        self.commands = commands
        self.pool = SocketWorkerPool(
            NOTHING_HERE, hello(-1, servers.dataset), SECRET, [address], capacity=4 * CREDITS, timeouts=servers.timeouts
        )
        self.schedule = FixedParts(Job(CONFIG, Path(), Path(), 1, 10**9), 0)
        self.schedule.count = count
        self.row_stats, self.nothing = [], 0
        self.pool.reserve_weights(())
        commands.load(0, Weights.draw(SHAPE, PLAN.seed))
        self.pool.publish_weights(0)
        server = Coordinator(commands, self.pool.weights, SGD(CONFIG), 0)
        self.loop = StepLoop(SGD(CONFIG), self.schedule, server, self.pool, None, commands)


@contextmanager
def training(dataset, servers, workers, kind=0, timeouts=None):
    """A training on `servers` servers with `workers` workers, all in threads. kind: that of their addresses."""
    kind, encrypted = min(kind, 1), kind > 1
    with ExitStack() as stack:
        group = stack.enter_context(serving(dataset, servers, timeouts, encrypted))
        commands = group.command(kind)
        stack.callback(commands.close)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ddc", dir="/tmp"))
        threads = stack.enter_context(ThreadPoolExecutor(workers + 8))
        found = SliceTraining(group, commands, folder, workers, kind)
        stack.callback(found.pool.close)
        found.group, found.threads = group, threads
        found.working = [
            threads.submit(work, found.pool.addresses[0], group, kind, number) for number in range(workers)
        ]
        assert found.pool.gather(workers, 15)
        yield found
