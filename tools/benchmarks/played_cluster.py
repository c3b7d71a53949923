"""A training on a cluster that is played on one machine: real servers, clients and TCP, but waits for the arithmetic.

Each worker and each server is a process on a host of its own (`ShapedNetwork`), and waits for as long as it would
compute.
"""

import multiprocessing
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from ddmlp.config import Timeouts
from ddmlp.data.dataset import Dataset
from ddmlp.data.manifest import Manifest
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import TrainingError
from ddmlp.nn.known_answer import KNOWN_ANSWER
from ddmlp.ray_backend import actors
from ddmlp.ray_backend.actors import ServerActor, WorkerActor
from ddmlp.ray_backend.endpoint import Endpoint, ServerAddress
from ddmlp.ray_backend.slice_actor import SliceActor
from ddmlp.training import setup
from ddmlp.training.job import Job
from ddmlp.training.worker import Worker
from ddmlp.training.worker_pool import relay_number
from ddmlp.transport import packed_arrays, relay
from ddmlp.transport.client import Client
from ddmlp.transport.relay import run_relay
from ddmlp.transport.socket_pool import SocketWorkerPool
from tools.benchmarks.played_arithmetic import (
    PIXELS,
    PlayedReduction,
    PlayedServer,
    PlayedSlice,
    PlayedWorker,
    Training,
    expected_sha256,
)
from tools.benchmarks.shaped_network import ShapedNetwork, address, enter

FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload([__name__])
TICK = 0.005  # seconds between two looks at the position
UNCOUNTED = 2  # steps: the first and the last, see `Played`
SECONDS = 120.0  # the longest wait for a process
# Played gradients are small whole numbers, which would be packed; real ones that are not rounded are not.
UNPACKED = mock.patch.object(packed_arrays, "PACKING", 0.0)


class Cluster(NamedTuple):
    """What to play.

    Parameters
    ----------
    workers, servers : int
        Their numbers.
    rate : float
        Bytes per second and direction of a host's link; 0: unlimited.
    microbatch, gradient, addition : float
        Seconds for a microbatch at a worker, for a gradient at a server that has all of the weights, and for one at a
        relay.
    nodes : int
        The number of hosts with workers, if not one for each. Then each of them has a relay.
    """

    workers: int
    servers: int
    rate: float
    microbatch: float = 0.0
    gradient: float = 0.0
    addition: float = 0.0
    nodes: int = 0


@dataclass(frozen=True)
class Played:
    """What was seen, without the first step and the last one, which also write checkpoints.

    seconds: of each step; busy: the server's processor time for a step; sha256: of the weights at the end; reissued:
    units that were given to a second worker, because the first one seemed to hang.
    """

    seconds: list[float]
    busy: float
    sha256: str
    reissued: int


def play(cluster: Cluster, training: Training) -> Played:
    """Train on a cluster. Call it in a process of its own, see `ShapedNetwork`.

    Raises TrainingError if a process fails, or the weights are not those that one process would have.
    """
    # All processes wait most of the time. They have real-time priority, so that other programs disturb them less.
    with suppress(PermissionError):  # as in some containers
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # the path of a socket must be short
        job = _job(Path(folder), cluster, training)
        network = ShapedNetwork(cluster.servers + (cluster.nodes or cluster.workers), cluster.rate)
        played = _train(network, job, cluster)
    expected = expected_sha256(training)
    if played.sha256 != expected:
        raise TrainingError(f"{cluster} ended with the weights {played.sha256}, expected {expected}")
    return played


class PlayedActor(WorkerActor):
    worker_class: type[Worker] = PlayedWorker


class PlayedSliceActor(SliceActor):
    slice_class = PlayedSlice


def _job(folder: Path, cluster: Cluster, training: Training) -> Job:
    rows = training.steps * training.microbatches
    with DatasetWriter(folder / "data" / "train", image_shape=(PIXELS, 1), classes=1) as writer:
        writer.append(np.zeros((rows, PIXELS, 1), np.uint8), np.zeros(rows, np.uint8))
    job = Job(training.config, folder / "data", folder / "run", cluster.workers, 10**9, servers=cluster.servers)
    return replace(job, timeouts=Timeouts(bytes_per_second=1000.0))


def _train(network: ShapedNetwork, job: Job, cluster: Cluster) -> Played:
    secret, (workers, servers) = secrets.token_bytes(32), cluster[:2]
    with _processes() as start:
        slices = [
            start(_serve_slice, network.place(host), job, secret, host, cluster)
            for host in range(1, servers + 1 if servers > 1 else 1)
        ]
        places = [_receive(each) for each in slices]
        server = start(_serve, network.place(1), job, secret, cluster, places)
        endpoint = Endpoint(_receive(server), None, secret, servers=tuple(map(ServerAddress.of, places)))
        hosts = [network.place(servers + node + 1) for node in range(cluster.nodes or workers)]
        ends = [endpoint] * len(hosts)
        if cluster.nodes:
            relays = [start(_relay, place, node, job, endpoint, cluster) for node, place in enumerate(hosts)]
            ends = [Endpoint(_receive(each), None, secret) for each in relays]
        for number in range(workers):
            node = number % len(hosts)
            start(_work, hosts[node], number, job, ends[node], cluster)
        (seconds, busy), sha256, reissued = _receive(server)
    return Played(np.diff(seconds)[:-1].tolist(), float(np.diff(busy)[:-1].mean()), sha256, reissued)


@contextmanager
def _processes() -> Iterator[Any]:
    """Yield a function that starts a process, and returns the pipe to it. All are killed after the block."""
    started = []

    def start(target: Any, *arguments: Any) -> Connection:
        pipe, end = FORK.Pipe()
        process = FORK.Process(target=target, args=(end, *arguments), daemon=True)
        process.start()
        end.close()
        started.append(process)
        return pipe

    try:
        yield start
    finally:
        for process in started:
            process.kill()
            process.join()


def _receive(pipe: Connection) -> Any:
    if not pipe.poll(SECONDS):
        raise TrainingError(f"a process of the cluster has not answered within {SECONDS:g} s")
    try:
        return pipe.recv()
    except EOFError:
        raise TrainingError("a process of the cluster has ended") from None


def _serve_slice(pipe: Connection, place: str, job: Job, secret: bytes, host: int, cluster: Cluster) -> None:
    enter(place)
    PlayedSlice.seconds = cluster.gradient / cluster.servers
    server = PlayedSliceActor()
    pipe.send(server.start(job, secret, [(address(host), 0)], host - 1, Manifest.read(job.data / "train")))
    server.serve()


def _serve(pipe: Connection, place: str, job: Job, secret: bytes, cluster: Cluster, places: list[Any]) -> None:
    enter(place)
    PlayedServer.seconds = cluster.gradient
    server = ServerActor()
    UNPACKED.start()
    with mock.patch.object(setup, "ParameterServer", PlayedServer):
        server.start(job, secret, [(address(1), 0)], *places)
    pipe.send(server.pool.addresses[0])
    if not server.gather(cluster.workers, SECONDS):
        raise TrainingError(f"not all {cluster.workers} workers have joined within {SECONDS:g} s")
    ends: list[tuple[float, float]] = []  # of the steps
    result = None
    while result is None:
        report = server.advance(TICK)
        result = report.result
        while len(ends) < report.step:
            ends.append((time.monotonic(), time.process_time()))
    pipe.send((list(zip(*ends, strict=True)), result.weights_sha256, server.pool.stats.reissued))


def _relay(pipe: Connection, place: str, node: int, job: Job, endpoint: Endpoint, cluster: Cluster) -> None:
    """Run the relay of a host, whose workers connect to it."""
    enter(place)
    PlayedReduction.seconds = cluster.addition
    dataset, number = Dataset(job.data / "train"), relay_number(node)
    shape = job.shape(dataset.manifest)

    def connect() -> Client:
        greeting = actors.hello(number, job, dataset)
        return endpoint.connect(greeting, shape, job.timeouts, far=False)

    pool = SocketWorkerPool(
        shape,
        actors.hello(-1, job, dataset),
        endpoint.secret,
        [str(job.run.parent / f"relay-{node}")],
        capacity=job.queue_capacity,
        timeouts=job.timeouts,
        cores=cluster.workers,  # each has one here
    )
    pipe.send(pool.addresses[0])
    with (
        mock.patch.object(relay, "Reduction", PlayedReduction),
        UNPACKED,
        mock.patch.object(actors, "answer", return_value=KNOWN_ANSWER),
    ):
        run_relay(pool, connect, shape)


def _work(_pipe: Connection, place: str, number: int, job: Job, endpoint: Endpoint, cluster: Cluster) -> None:
    enter(place)
    PlayedWorker.seconds = cluster.microbatch
    # Nothing is computed here, so the kernels need not be loaded for the known-answer test.
    with UNPACKED, mock.patch.object(actors, "answer", return_value=KNOWN_ANSWER):
        PlayedActor(number).work(job, endpoint, far=False, slot=number)
