"""Server and workers over sockets and shared memory: real processes, real deaths, the bits of one process."""

import errno
import json
import multiprocessing
import os
import pickle
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import connection
from pathlib import Path

import numpy as np
import pytest

from ddmlp import hub, wire
from ddmlp.config import TrainConfig
from ddmlp.dataset import Dataset
from ddmlp.dataset_writer import DatasetWriter
from ddmlp.errors import ClusterError, DatasetError, DdmlpError
from ddmlp.hub import Hub
from ddmlp.idx import read_idx
from ddmlp.link import Link, serve
from ddmlp.local import LocalWorkers
from ddmlp.manifest import Manifest
from ddmlp.network import Shape, Weights
from ddmlp.numerics import fingerprint
from ddmlp.plan import Node, Plan
from ddmlp.queues import CREDITS, Unit, UnitQueue
from ddmlp.server import ParameterServer
from ddmlp.shared_memory import HEADER, Region
from ddmlp.worker import Worker

ROWS, SECRET = 300, b"known to both ends"
SHAPE = Shape(784, 8, 10)
PLAN = Plan(rows=ROWS, batch=60, microbatch=8, epochs=2, seed=4, block=100, window=ROWS)
SECONDS = 15  # the longest that a worker may take to join
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(scope="module")
def dataset(sample, tmp_path_factory):
    path = tmp_path_factory.mktemp("link") / "train"
    with DatasetWriter(path, (28, 28), 10, shard_rows=100) as writer:
        images, labels = (read_idx(sample / f"train-{name}-ubyte.gz") for name in ("images-idx3", "labels-idx1"))
        writer.append(images[:ROWS], labels[:ROWS])
    return path


@pytest.fixture(scope="module")
def expected(dataset):
    """The result of one process."""
    return train(LocalWorkers(Worker(Dataset(dataset), PLAN, SHAPE)), 1)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as threads:
        yield threads


@pytest.fixture
def start():
    """Starts a function in a process of its own, which has ended, or is ended, after the test."""
    started = []

    def start(target, *arguments):
        started.append(SPAWN.Process(target=target, args=arguments))
        started[-1].start()
        return started[-1]

    yield start
    for process in started:
        process.join(20)
        process.kill()
        process.join()


@pytest.fixture
def server(dataset, pool, start):  # noqa: ARG001
    """A hub that lets its workers go before the threads and processes are waited for."""
    with listening(dataset) as server:
        yield server


@contextmanager
def listening(dataset):
    """A hub on a Unix socket and on TCP. Not below tmp_path: a socket's path must be short."""
    with tempfile.TemporaryDirectory(prefix="ddl", dir="/tmp") as folder:
        server = Hub(SHAPE, hello(-1, dataset), SECRET, [f"{folder}/server", ("127.0.0.1", 0)])
        try:
            yield server
        finally:
            server.close()


def hello(index, dataset):
    return wire.Hello(index, wire.VERSION, fingerprint(), Dataset(dataset).manifest.sha256(), {"seed": PLAN.seed})


def join(address, dataset, index=0):
    return Link(address, SECRET, hello(index, dataset), SHAPE)


def work(address, dataset, index=0):
    """A worker's life; returns how many units it has answered."""
    return serve(Worker(Dataset(dataset), PLAN, SHAPE), join(address, dataset, index))


class StuckWorker(Worker):
    """Says over a pipe which unit it holds, and never answers it."""

    def __init__(self, pipe, *arguments):
        super().__init__(*arguments)
        self.pipe = pipe

    def compute(self, unit, _weights, out):
        out.flat[:] = np.nan
        self.pipe.send(unit)
        self.pipe.recv()
        raise AssertionError("it was to be killed before")


class VerifyingWorker(Worker):
    """Looks whether its data is whole before it answers."""

    def compute(self, unit, weights, out):
        self._dataset.verify()
        return super().compute(unit, weights, out)


def work_until_stuck(pipe, address, dataset, index):
    serve(StuckWorker(pipe, Dataset(dataset), PLAN, SHAPE), join(address, dataset, index))


def train(workers, count):
    """Train the plan's steps; the hash of the weights, and what E and the mistakes came to."""
    server = ParameterServer(SHAPE, workers.buffers, 0, Weights.draw(SHAPE, PLAN.seed))
    queue = UnitQueue(2 * CREDITS * count)
    scores = []
    for step in range(PLAN.steps):
        server.begin(PLAN.microbatches(step))
        for node in PLAN.units(step, count):
            queue.put(Unit(step, step, node))
        while not server.complete:
            gradient = workers.exchange(queue)
            if queue.answered(gradient.unit):
                server.receive(gradient)
        scores.append(server.apply(0.5 / PLAN.batch))
        workers.publish(server.version)
    assert queue.depth == 0
    return server.weights.sha256(), scores


def test_simple(dataset, pool, expected):
    with listening(dataset) as server:
        working = pool.submit(work, server.addresses[0], dataset)
        assert server.gather(1, SECONDS)
        assert server.joined == [0]
        assert train(server, 1) == expected
        assert server.answered == {0: PLAN.steps}
    assert working.result() == PLAN.steps


def test_processes_on_a_unix_socket_and_on_tcp_give_the_bits_of_one_process(dataset, start, expected):
    with listening(dataset) as server:
        workers = [start(work, address, dataset, index) for index, address in enumerate(server.addresses)]
        assert server.gather(2, SECONDS)
        assert train(server, 2) == expected
        answered = server.answered
    assert set(answered) == {0, 1}
    assert min(answered.values()) > 0
    for worker in workers:
        worker.join(20)
    assert [worker.exitcode for worker in workers] == [0, 0]


@pytest.mark.parametrize("kind", [0, 1], ids=["unix", "tcp"])
def test_the_units_of_a_killed_process_go_to_another(server, dataset, pool, start, expected, kind):
    mine, theirs = SPAWN.Pipe()
    victim = start(work_until_stuck, theirs, server.addresses[kind], dataset, 0)
    assert server.gather(1, SECONDS)
    pool.submit(work, server.addresses[0], dataset, 1)
    assert server.gather(2, SECONDS)

    def kill_when_it_holds_a_unit():
        unit = mine.recv()
        os.kill(victim.pid, signal.SIGKILL)
        return unit

    killed = pool.submit(kill_when_it_holds_a_unit)
    assert train(server, 2) == expected
    assert killed.result() in {Unit(0, 0, node) for node in PLAN.units(0, 2)}
    victim.join(20)
    assert victim.exitcode == -signal.SIGKILL
    assert server.joined == [1]


@pytest.mark.parametrize("kind", [0, 1], ids=["unix", "tcp"])
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"arithmetic": "f" * 64},
            r"their arithmetic gives different bits \(another processor, NumPy or BLAS\): "
            "the server has [0-9a-f]{64}, the worker f{64}$",
        ),
        ({"dataset_sha256": "f" * 64}, "they see different datasets: the server has [0-9a-f]{64}, the worker f{64}$"),
        ({"config": {"seed": 5}}, "they have different settings: the server has {'seed': 4}, the worker {'seed': 5}$"),
        ({"protocol": 99}, "they speak different versions of the protocol: the server has 1, the worker 99$"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_worker_that_would_compute_something_else_is_told_so(server, dataset, pool, kind, change, says):
    gathered = pool.submit(server.gather, 1, SECONDS)
    with pytest.raises(ClusterError, match=f"^the server refuses worker 3: {says}"):
        Link(server.addresses[kind], SECRET, replace(hello(3, dataset), **change), SHAPE)
    link = join(server.addresses[kind], dataset, index=4)
    assert gathered.result()
    assert server.joined == [4]
    link.close()


def test_the_refusal_shows_only_the_settings_that_differ(dataset):
    mine, theirs = (
        replace(hello(0, dataset), config=TrainConfig(seed=seed, lr=lr).as_dict()) for seed, lr in ((1, 0.5), (2, 0.25))
    )
    assert mine.difference(theirs) == (
        "they have different settings: the server has {'lr': 0.5, 'seed': 1}, the worker {'lr': 0.25, 'seed': 2}"
    )
    more = replace(mine, config={**mine.config, "more": 5})
    says = "they have different settings: the server has {'more': %s}, the worker {'more': %s}"
    assert mine.difference(more) == says % (None, 5)
    assert more.difference(mine) == says % (5, None)
    assert mine.difference(replace(mine, worker=7)) is None


def test_a_second_worker_of_the_same_number_is_refused(server, dataset, pool):
    gathered = pool.submit(server.gather, 2, SECONDS)
    links = [join(server.addresses[0], dataset, 0)]
    with pytest.raises(ClusterError, match="there is a worker 0 already"):
        join(server.addresses[0], dataset, 0)
    links.append(join(server.addresses[0], dataset, 1))
    assert gathered.result()
    for link in links:
        link.close()


@pytest.mark.parametrize("kind", [0, 1], ids=["unix", "tcp"])
def test_a_wrong_secret_is_refused_and_the_run_goes_on(server, dataset, pool, expected, kind):
    gathered = pool.submit(server.gather, 1, SECONDS)
    with pytest.raises(ClusterError, match=r"^worker 0 cannot reach the server at .*AuthenticationError.*digest"):
        Link(server.addresses[kind], b"guessed", hello(0, dataset), SHAPE)
    pool.submit(work, server.addresses[kind], dataset)
    assert gathered.result()
    assert train(server, 1) == expected


def test_no_server_is_a_cluster_error(dataset, tmp_path):
    with pytest.raises(ClusterError, match=r"worker 2 cannot reach the server at .*nowhere.*FileNotFoundError"):
        join(str(tmp_path / "nowhere"), dataset, 2)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (0, b""),  # it says nothing more, and so does the last: each takes the second that the hub waits
        *((kind, said) for kind in (0, 1) for said in (b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\x04none")),
        (1, b"\0\0"),
    ],
)
def test_a_stranger_does_not_stop_the_run(server, dataset, pool, expected, monkeypatch, kind, said):
    monkeypatch.setattr(wire, "SOCKET_SECONDS", 1)
    address = server.addresses[kind]
    with socket.socket(socket.AF_INET if kind else socket.AF_UNIX) as stranger:
        stranger.connect(address)
        stranger.sendall(said)
        pool.submit(work, address, dataset)
        assert server.gather(1, SECONDS)
        stranger.settimeout(20)
        assert b"#CHALLENGE#" in receive(stranger), "the hub has met the stranger, and has hung up"
        assert train(server, 1) == expected


def receive(stranger):
    """All that the other end says until it hangs up."""
    heard = b""
    try:
        while part := stranger.recv(4096):
            heard += part
    except ConnectionResetError:
        pass
    return heard


@pytest.mark.parametrize("said", [b"no JSON", b"[]", b'{"worker": 1}', b"\xff"])
def test_a_hello_that_is_none_does_not_stop_the_run(server, dataset, pool, expected, said):
    gathered = pool.submit(server.gather, 1, SECONDS)
    with connection.Client(server.addresses[0], authkey=SECRET) as other:
        other.send_bytes(said)
        with pytest.raises((EOFError, ConnectionResetError)):
            other.recv_bytes()
    pool.submit(work, server.addresses[0], dataset)
    assert gathered.result()
    assert train(server, 1) == expected


def test_an_error_of_a_worker_arrives_as_what_it_is(server, dataset, tmp_path, pool):
    copy = Path(shutil.copytree(dataset, tmp_path / "copy"))
    worker = VerifyingWorker(Dataset(copy), PLAN, SHAPE)
    shard = copy / Manifest.read(copy).shards[1].file
    shard.write_bytes(shard.read_bytes()[:-1] + b"!")
    serving = pool.submit(lambda: serve(worker, join(server.addresses[0], dataset, 7)))
    assert server.gather(1, SECONDS)
    with pytest.raises(DatasetError, match=f"^worker 7: {re.escape(str(shard))} is damaged"):
        train(server, 1)
    with pytest.raises(DatasetError, match=f"^{re.escape(str(shard))} is damaged"):
        serving.result()


@pytest.mark.parametrize("kind", [0, 1], ids=["unix", "tcp"])
@pytest.mark.parametrize(
    "said",
    [
        lambda _: b"",
        lambda _: b"?",
        lambda _: bytes(1_000),
        lambda unit: wire.pack_answer(unit, 0.0, 0, 0)[:-1],
        lambda unit: wire.pack_answer(unit, 0.0, 0, CREDITS),
        lambda unit: wire.pack_answer(unit, 0.0, 0, 2**32 - 1),
        lambda _: wire.FAILURE,
        lambda _: wire.FAILURE + b"[]",
        lambda _: wire.FAILURE + b"{}",
        lambda _: wire.FAILURE + b'{"error": 5, "message": "six"}',
    ],
    ids=["empty", "byte", "zeros", "cut", "slot", "large slot", "no failure", "list", "object", "number"],
)
def test_a_worker_that_makes_no_sense_is_dropped_and_its_units_go_to_another(
    server, dataset, pool, expected, kind, said
):
    gathered = pool.submit(server.gather, 2, SECONDS)
    mad = join(server.addresses[kind], dataset, 0)
    pool.submit(work, server.addresses[kind], dataset, 1)
    assert gathered.result()

    def talk_nonsense():
        units = mad.units()
        mad._connection.send_bytes(said(next(units)))
        return [*units]

    talking = pool.submit(talk_nonsense)
    assert train(server, 2) == expected
    assert server.joined == [1]
    talking.result(SECONDS)  # it was hung up on
    mad.close()


@pytest.mark.parametrize("name", ["ClusterError", "DatasetError", "NoErrorOfOurs", "MemoryError", "__doc__"])
def test_a_worker_may_fail_with_an_error_of_any_name(server, dataset, pool, name):
    """No name makes anything but an error of ours, even where it is one of the module of errors."""
    gathered = pool.submit(server.gather, 1, SECONDS)
    link = join(server.addresses[0], dataset, 7)
    assert gathered.result()
    link._connection.send_bytes(wire.FAILURE + json.dumps({"error": name, "message": "words"}).encode())
    with pytest.raises(DdmlpError, match=r"^worker 7: words$") as caught:
        train(server, 1)
    assert type(caught.value) is (DatasetError if name == "DatasetError" else ClusterError)
    link.close()


def test_a_gradient_of_another_size_is_dropped_with_its_worker(server, dataset, pool, expected):
    gathered = pool.submit(server.gather, 2, SECONDS)
    mad = join(server.addresses[1], dataset, 0)
    pool.submit(work, server.addresses[1], dataset, 1)
    assert gathered.result()

    def send_too_little():
        units = mad.units()
        mad._connection.send_bytes(wire.pack_answer(next(units), 0.0, 0, 0))
        mad._connection.send_bytes(bytes(4 * SHAPE.size - 4))
        return [*units]

    talking = pool.submit(send_too_little)
    assert train(server, 2) == expected
    assert server.joined == [1]
    talking.result(SECONDS)
    mad.close()


def test_no_worker_left_ends_the_run(server, dataset, pool, monkeypatch):
    monkeypatch.setattr(hub, "JOIN_SECONDS", 0.1)
    gathered = pool.submit(server.gather, 1, SECONDS)
    link = join(server.addresses[0], dataset)
    assert gathered.result()
    link.close()
    with pytest.raises(ClusterError, match=r"no worker is left, and none has joined for 0\.1 s"):
        train(server, 1)
    assert server.joined == []


def test_a_worker_that_never_answers_ends_the_run(server, dataset, pool, monkeypatch):
    monkeypatch.setattr(hub, "ANSWER_SECONDS", 0.1)
    gathered = pool.submit(server.gather, 1, SECONDS)
    link = join(server.addresses[0], dataset, 5)
    assert gathered.result()
    with pytest.raises(ClusterError, match=r"none of the workers \[5\] has answered for 0\.1 s"):
        train(server, 1)
    link.close()


def test_gather_says_when_too_few_have_come(server):
    assert not server.gather(1, 0.01)


def test_nothing_is_pickled(server, dataset, pool, expected, monkeypatch):
    def refuse(*_):
        raise AssertionError("something is pickled")

    monkeypatch.setattr(pickle, "dumps", refuse)
    monkeypatch.setattr(pickle, "loads", refuse)
    monkeypatch.setattr(connection._ForkingPickler, "dumps", refuse)
    monkeypatch.setattr(connection._ForkingPickler, "loads", refuse)
    one, other = socket.socketpair()
    with (
        connection.Connection(one.detach()) as sender,
        connection.Connection(other.detach()),
        pytest.raises(AssertionError, match="something is pickled"),
    ):
        sender.send([1])
    for index, address in enumerate(server.addresses):
        pool.submit(work, address, dataset, index)
    assert server.gather(2, SECONDS)
    assert train(server, 2) == expected
    assert min(server.answered.values()) > 0


@pytest.mark.parametrize("follows", [True, False])
def test_units_and_answers_survive_the_wire(follows):
    unit = Unit(2**40, 2**40 + 1, Node(3, 2**31))
    assert wire.unpack_unit(wire.pack_unit(unit, follows)) == (unit, follows)
    assert wire.unpack_answer(wire.pack_answer(unit, -0.1, 2**33, 1)) == (unit, -0.1, 2**33, 1)
    assert wire.unpack_failure(wire.pack_failure(DatasetError("row 3"))) == ("DatasetError", "row 3")


@pytest.mark.parametrize("count", [3, 5])
def test_an_array_of_another_size_is_refused(count):
    one, other = socket.socketpair()
    with connection.Connection(one.detach()) as sender, connection.Connection(other.detach()) as receiver:
        sender.send_bytes(np.ones(count, np.float32))
        with pytest.raises(OSError, match="an array of another size came, expected 16 bytes"):
            wire.receive_array(receiver, np.zeros(4, np.float32))


def test_a_region_is_shared_with_another_process():
    region = Region.create(count=3, size=17)
    code = """if True:
        import sys
        from ddmlp.shared_memory import Region
        region = Region(int(sys.argv[1]), 3, 17)
        assert region.buffers[0].tolist() == [7.0] * 17
        region.buffers[2][:] = range(17)
        region.header[1] = -5
    """
    region.buffers[0][:] = 7
    subprocess.run([sys.executable, "-c", code, str(region.descriptor)], pass_fds=[region.descriptor], check=True)
    assert [buffer.tolist() for buffer in region.buffers] == [[7.0] * 17, [0.0] * 17, list(range(17))]
    assert region.header[1] == -5
    assert all(buffer.ctypes.data % HEADER == 0 for buffer in region.buffers)
    region.close()
    assert region.buffers[2][16] == 16, "the memory stays as long as an array uses it"


def place_of(region):
    return str(Path(f"/proc/self/fd/{region.descriptor}").readlink())


def test_a_region_has_no_name():
    region = Region.create(count=1, size=4)
    place = place_of(region)
    region.close()
    assert place.endswith(" (deleted)")
    assert not Path(place.removesuffix(" (deleted)")).exists()


def test_a_region_is_elsewhere_where_shared_memory_is_full(monkeypatch):
    allocate, asked = os.posix_fallocate, []

    def full_at_first(descriptor, offset, length):
        asked.append(length)
        if len(asked) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        allocate(descriptor, offset, length)

    monkeypatch.setattr(os, "posix_fallocate", full_at_first)
    region = Region.create(count=2, size=16)
    assert place_of(region).startswith(tempfile.gettempdir())
    assert asked == [HEADER + 2 * 64] * 2
    region.close()


def test_no_room_for_a_region_is_an_error(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ClusterError, match=r"no room for 4,160 bytes .* neither in /dev/shm nor in .* --shm-size"):
        Region.create(count=1, size=1024)
