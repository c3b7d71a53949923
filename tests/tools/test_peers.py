"""The peers: each of them trains; those with ddmlp's formulas get ddmlp's weights after a few steps."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddmlp.data.dataset import Dataset
from ddmlp.nn.network import Network, Steps
from ddmlp.nn.weights import Shape, Weights
from tools.benchmarks.peers.baseline import CHUNK_STEPS, Rows, available, baseline, chunks
from tools.benchmarks.peers.ray_pattern import DataWorker, ParameterServer
from tools.benchmarks.processes import in_process, in_processes

pytestmark = pytest.mark.bench
SHAPE, BATCH, RATE, STEPS = Shape(784, 40, 10), 32, 0.5, 6


@pytest.fixture(scope="module")
def rows(data: Path) -> Rows:
    return Rows.load(data / "train")


def baseline_or_skip(name: str) -> Callable[..., Any]:
    if not available(name):
        pytest.skip(f'{name} is not installed: pip install -e ".[bench]"')
    return baseline(name)


def ddmlp_weights(rows: Rows, order: np.ndarray, batch: int = BATCH) -> Weights:
    """Return the weights after ddmlp's steps on these rows."""
    weights, bounds = Weights.draw(SHAPE, 0), np.append(np.arange(0, len(order), batch), len(order))
    rates = (RATE / np.diff(bounds)).astype(np.float32)
    steps = Steps(rows.pixels[order], rows.labels[order], bounds, rates, np.zeros((len(rates), 3), np.intp))
    Network(SHAPE, batch).train(steps, weights.flat.reshape(1, -1))
    return weights


def assert_close(found: Weights, expected: Weights) -> None:
    start = Weights.draw(SHAPE, 0)
    assert np.abs(expected.values - start.values).max() > 1e-3  # training has changed them
    np.testing.assert_allclose(found.values, expected.values, rtol=0, atol=1e-5)


def test_rows(data: Path, rows: Rows):
    dataset = Dataset(data / "train")
    chosen = np.array([3_999, 0, 1_500])
    pixels, labels = dataset.gather(chosen)
    assert np.array_equal(rows.pixels[chosen], pixels)
    assert np.array_equal(rows.labels[chosen], labels)


@pytest.mark.parametrize("name", ["PyTorch", "scikit-learn"])
def test_accuracy(rows: Rows, name: str):
    runner = baseline_or_skip(name)(rows, Weights.draw(SHAPE, 0), BATCH, RATE)
    runner.train(np.random.default_rng(0).permutation(len(rows.labels)))
    assert runner.accuracy(rows) > 0.8


@pytest.mark.parametrize("batch", [BATCH, 1])
@pytest.mark.parametrize("name", ["NumPy, dense", "PyTorch"])
def test_weights(rows: Rows, name: str, batch: int):
    order = np.random.default_rng(1).permutation(len(rows.labels))[
        : STEPS * batch - batch // 2
    ]  # the last step is smaller
    first = Weights.draw(SHAPE, 0)
    runner = baseline_or_skip(name)(rows, first, batch, RATE)
    runner.train(order)
    assert_close(runner.weights, ddmlp_weights(rows, order, batch))
    assert first.sha256() == Weights.draw(SHAPE, 0).sha256()  # the initial weights are unchanged


def test_weights_of_ray_pattern(rows: Rows):
    workers = [DataWorker(rows, SHAPE, BATCH // 2, rank) for rank in range(2)]
    server = ParameterServer(Weights.draw(SHAPE, 0).values, RATE, BATCH)
    for _ in range(STEPS):
        server.apply_gradients(*(worker.compute_gradients(server.weights) for worker in workers))
    order = next(chunks(len(rows.labels), BATCH))[: STEPS * BATCH]
    assert_close(Weights.from_values(SHAPE, server.weights), ddmlp_weights(rows, order))


def _drive(data: Path, order: np.ndarray) -> np.ndarray:
    """Run the driver of Ray's pattern; call this in another process, because Ray leaves file descriptors open."""
    with closing(baseline("Ray's pattern")(Rows.load(data), Weights.draw(SHAPE, 0), BATCH, RATE)) as peer:
        peer.train(order)
        return peer.ray.get(peer.weights).copy()


@pytest.mark.ray
@pytest.mark.measure
def test_driver_of_ray_pattern(data: Path, rows: Rows):
    order = next(chunks(len(rows.labels), BATCH))[: STEPS * BATCH]
    assert_close(Weights.from_values(SHAPE, in_process(_drive, data / "train", order)), ddmlp_weights(rows, order))


def test_epochs_of_ray_pattern(rows: Rows):
    few = rows.first(2 * BATCH)
    worker = DataWorker(few, SHAPE, BATCH // 2, 0)
    gradients = {worker.compute_gradients(Weights.draw(SHAPE, 0).values).tobytes() for _ in range(5)}
    assert len(gradients) == 5


def _train_half(rank: int, rendezvous: Path, data: Path, order: np.ndarray) -> np.ndarray:
    """Run one process of DistributedDataParallel; at module level, so that another process can import it."""
    peer = baseline("PyTorch DDP")(Rows.load(data), Weights.draw(SHAPE, 0), BATCH, RATE, rank, rendezvous)
    peer.train(order)
    weights = peer.weights.values
    peer.close()
    return weights


def test_weights_of_ddp(data: Path, rows: Rows, tmp_path: Path):
    baseline_or_skip("PyTorch DDP")
    order = np.random.default_rng(2).permutation(len(rows.labels))[: STEPS * BATCH]
    calls = [(rank, tmp_path / "rendezvous", data / "train", order) for rank in range(2)]
    for found in in_processes(_train_half, calls):
        assert_close(Weights.from_values(SHAPE, found), ddmlp_weights(rows, order))


def test_chunks():
    orders = chunks(rows=100, batch=7)
    first, second = next(orders), next(orders)
    assert len(first) == len(second) == 98
    assert len(set(first)) == 98
    assert not np.array_equal(first, second)
    longer = chunks(rows=2_500, batch=1)
    assert len(set(np.concatenate([next(longer), next(longer)]))) == 2 * CHUNK_STEPS
