"""Socket pools, a small dataset, and threads and processes for the workers."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from ddmlp.config import Timeouts
from ddmlp.data.idx import read_idx
from ddmlp.data.writer import DatasetWriter
from ddmlp.transport import packed_arrays
from tests.support.local_pool import LocalWorkerPool
from tests.support.process_trainer import FORK
from tests.support.sockets import ROWS, SECONDS, Training, listening, work, worker


@pytest.fixture(scope="package")
def dataset(sample, tmp_path_factory):
    """The first ROWS rows of the sample, in shards of 100; not to be changed."""
    path = tmp_path_factory.mktemp("transport") / "train"
    with DatasetWriter(path, (28, 28), 10, shard_rows=100) as writer:
        images, labels = (read_idx(sample / f"train-{name}-ubyte.gz") for name in ("images-idx3", "labels-idx1"))
        writer.append(images[:ROWS], labels[:ROWS])
    return path


@pytest.fixture(scope="package")
def expected(dataset):
    """The result of one process."""
    return Training(LocalWorkerPool(worker(dataset)), 1).run()


@pytest.fixture
def never_packed(monkeypatch):
    """No array is packed, however busy the machine is."""
    monkeypatch.setattr(packed_arrays, "PACKING", 0.0)


@pytest.fixture
def trains(pool, dataset, threads, expected):
    """Trains with a worker at an address of a kind; checks that the result is right, whatever has connected before."""

    def trains(kind=2):
        threads.submit(work, pool.addresses[kind], dataset)
        assert pool.gather(1, SECONDS)
        assert Training(pool, 1).run() == expected

    return trains


@pytest.fixture
def threads():
    """Runs functions in threads, which have ended after the test."""
    with ThreadPoolExecutor(8) as threads:
        yield threads


@pytest.fixture
def start():
    """Starts a function in a separate process, which is killed after the test if it has not ended."""
    started = []

    def start(target, *arguments):
        started.append(FORK.Process(target=target, args=arguments))
        started[-1].start()
        return started[-1]

    yield start
    for process in started:
        process.join(20)
        process.kill()
        process.join()


@pytest.fixture
def timeouts(request):
    """The timeouts of the pool; see `impatient`."""
    return getattr(request, "param", Timeouts())


@pytest.fixture
def pool(dataset, threads, start, timeouts):  # noqa: ARG001
    """A pool that releases its workers before the threads and processes are waited for."""
    with listening(dataset, timeouts) as pool:
        yield pool
