"""What the bits of a result rest on: one BLAS thread, known kernels, and counter-based random numbers."""

import hashlib
import platform
from functools import cache
from importlib import metadata
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController, threadpool_info

from ddmlp import __version__

# What random bits are drawn for. Part of the counter, so that no two purposes ever share a number.
WEIGHTS, BLOCKS, ROWS = range(3)
# To be raised with each change of this code after which the same rows and weights come to other bits.
REVISION = 3


@cache
def pin() -> None:
    """Hold BLAS to one thread in this process, for good.

    A matrix product's bits depend on the number of threads, so this is a part of the result, not of the speed. It
    does not matter whether NumPy was imported before, as it would with OMP_NUM_THREADS.
    """
    ThreadpoolController().limit(limits=1, user_api="blas")


@cache
def arithmetic_fingerprint() -> str:
    """A digest of this process's arithmetic: equal digests compute equal gradients, as far as a probe can tell.

    The probe runs the operations of a step, each on a shape large enough to use the kernels and the tails of real
    ones; that code adds up in another order, its revision tells. Processes whose digests differ must not work on one
    run.
    """
    pin()
    x = random_bits(0, WEIGHTS, 61 * 131).reshape(61, 131)
    a = uniform(x, -1, 1).astype(np.float32)
    b = uniform(x.T, -1, 1).astype(np.float32)
    product = a @ b
    probe = hashlib.sha256(REVISION.to_bytes(4, "little"))
    probe.update(product.tobytes())
    probe.update((a.T @ product).tobytes())
    probe.update(np.exp(product).tobytes())
    probe.update(np.log1p(np.abs(product)).tobytes())
    probe.update(product.sum(axis=1).tobytes())
    return probe.hexdigest()


@cache
def libraries() -> dict[str, str]:
    """What the bits of a result depend on: name to version, and the fingerprint in short."""
    blas = [
        f"{lib['internal_api']} {lib['version']} {lib.get('architecture', '')}".strip()
        for lib in threadpool_info()
        if lib["user_api"] == "blas"  # others, OpenMP say, come with packages that compute nothing here
    ]
    return {"numpy": np.__version__, "blas": ", ".join(sorted(blas)), "arithmetic": arithmetic_fingerprint()[:16]}


@cache
def versions() -> dict[str, str]:
    """What a result was computed with, for checkpoints and results: `libraries`, and what does not change the bits."""
    found = [name for name in ("pyarrow", "ray") if find_spec(name)]  # one process needs no Ray
    others = {name: metadata.version(name) for name in found}
    return {**libraries(), "ddmlp": __version__, "python": platform.python_version(), **others}


def random_bits(seed: int, purpose: int, count: int, *, index: int = 0, part: int = 0) -> NDArray[np.uint64]:
    """`count` random 64-bit words, a pure function of the arguments: shape (count,), uint64.

    Philox 4x64 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11), keyed by (seed, index), with
    the purpose and the part in the counter's upper words. Only the generator's raw words are used, because NumPy
    promises their stability (NEP 19) and not that of the distributions made from them.
    """
    key = np.array([seed, index], dtype=np.uint64)
    counter = np.array([0, 0, part, purpose], dtype=np.uint64)
    return np.random.Philox(key=key, counter=counter).random_raw(count)


def uniform(bits: NDArray[np.uint64], low: float, high: float) -> NDArray[np.float64]:
    """Uniform float64 numbers from low to high, one from the upper 53 bits of each word."""
    return low + (high - low) * ((bits >> np.uint64(11)) * np.float64(2.0**-53))


def permutation(bits: NDArray[np.uint64]) -> NDArray[np.intp]:
    """The permutation that sorts `bits`: shape (n,). A stable sort, so that equal words cannot differ by library; by 16
    bits at a time, which NumPy sorts by radix."""
    return np.lexsort([(bits >> np.uint64(shift)).astype(np.uint16) for shift in (0, 16, 32, 48)])
