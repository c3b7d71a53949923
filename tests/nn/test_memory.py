"""Memory: what an array of it is, where it lies, and that it goes with the array."""

import mmap
from pathlib import Path

import numpy as np
import pytest
from ddmlp.nn.memory import HUGE, MIN_BYTES, zeros

from ddmlp.nn import memory
from ddmlp.nn.weights import Shape, Weights

SWITCH = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def flags(array):
    """What the kernel notes of the mapping that an array lies in (Linux, proc(5), VmFlags)."""
    address, here = array.ctypes.data, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, *rest = line.split()
        if not name.endswith(":"):
            begin, end = (int(part, 16) for part in name.split("-"))
            here = begin <= address < end
        elif here and name == "VmFlags:":
            return rest
    return []


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
@pytest.mark.parametrize("shape", [(0,), (3,), (MIN_BYTES - 1,), (MIN_BYTES,), (785, 300), (1, 1), (2_000, 1_000)])
def test_simple(shape, dtype):
    array = zeros(shape, dtype)
    assert (array.shape, array.dtype) == (shape, dtype)
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert not array.any()
    array[...] = 1
    assert array.sum() == array.size, "every number of it is there"
    if array.nbytes >= MIN_BYTES and hasattr(mmap, "MADV_HUGEPAGE"):
        assert array.ctypes.data % HUGE == 0


@pytest.mark.skipif(not SWITCH.exists(), reason="this kernel has no huge pages")
def test_weights_ask_for_huge_pages():
    assert "hg" in flags(Weights(Shape(784, 300, 10)).flat)
    # A mapping of its own: NumPy's may lie where an array of 4 MB was before, for which NumPy has asked.
    unasked = mmap.mmap(-1, MIN_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    assert "hg" not in flags(np.frombuffer(unasked, np.uint8)), "they have to be asked for"


def test_two_arrays_share_nothing():
    one, other = zeros((MIN_BYTES,), np.uint8), zeros((MIN_BYTES,), np.uint8)
    one[:] = 1
    assert not other.any()


def test_memory_goes_with_the_last_view(monkeypatch):
    opened = []

    class Mapped(mmap.mmap):
        def __del__(self):
            opened.remove(id(self))

    def map_(*arguments):
        mapped = Mapped(*arguments)
        opened.append(id(mapped))
        return mapped

    monkeypatch.setattr(memory.mmap, "mmap", map_)
    array = zeros((MIN_BYTES,), np.uint8)
    view = array[5:].reshape(-1, 1)
    assert len(opened) == 1
    del array
    assert len(opened) == 1
    view[:] = 7
    del view
    assert not opened


def test_no_huge_pages(monkeypatch):
    """The array is there all the same."""
    refused = []

    class Refusing(mmap.mmap):
        def madvise(self, option):
            refused.append(option)
            raise OSError(22, "Invalid argument")

    monkeypatch.setattr(memory.mmap, "mmap", Refusing)
    assert not zeros((MIN_BYTES,), np.uint8).any()
    assert refused == [mmap.MADV_HUGEPAGE]
