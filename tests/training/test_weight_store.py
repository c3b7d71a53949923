"""The store of versions: no version in use is overwritten, and the newest buffer is used first."""

import numpy as np

from ddmlp.nn.weights import Shape
from ddmlp.training.weight_store import WeightStore

SHAPE = Shape(3, 2, 2)


def publish(store, version, needed=()):
    weights = store.reserve(needed)
    weights.flat[:] = version
    store.publish(version)
    return weights


def fixed(count):
    return WeightStore(SHAPE, [np.zeros(SHAPE.size, np.float32) for _ in range(count)])


def test_simple():
    store = WeightStore(SHAPE)
    first = publish(store, 0)
    assert store[0] is first
    assert publish(store, 1) is first, "a version that is not needed is changed in place"
    second = publish(store, 2, needed=[1])
    assert (store[1], store[2]) == (first, second)
    assert (store[1].flat[-1], store[2].flat[-1]) == (1, 2)


def test_newest_buffer_first():
    store = fixed(3)
    for version in range(3):
        publish(store, version, needed=range(version))
    newest = store[2]
    assert publish(store, 3, needed=[1]) is newest
    assert publish(store, 4, needed=[1, 3]) is not newest


def test_no_buffer_is_free():
    store = fixed(2)
    publish(store, 0)
    publish(store, 1, needed=[0])
    assert store.reserve([0, 1]) is None
    assert (store[0].flat[0], store[1].flat[0]) == (0, 1)
    assert store.reserve([1]) is store[0]


def test_until_publish():
    """After an update that failed, the weights can still be read as they were."""
    store = WeightStore(SHAPE)
    before = publish(store, 7)
    assert store.reserve(()) is before
    assert store[7] is before


def test_slot_of_a_version():
    buffers = [np.zeros(SHAPE.size, np.float32) for _ in range(2)]
    store = WeightStore(SHAPE, buffers)
    publish(store, 5)
    publish(store, 6, needed=[5])
    for version in (5, 6):
        assert np.shares_memory(store[version].flat, buffers[store.slot(version)])
