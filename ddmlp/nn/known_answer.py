"""A known-answer test: from fixed inputs, the kernels must compute the same bits here as on every other machine.

It detects a faulty compiler, or a library that changes how the processor rounds, before any weights are touched.
"""

import hashlib
import platform
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddmlp.errors import MachineError
from ddmlp.nn.augmentation import Augmentation
from ddmlp.nn.compiled import processor
from ddmlp.nn.distortion import Distorter
from ddmlp.nn.network import Network, Steps
from ddmlp.nn.packing import pack, unpack
from ddmlp.nn.steps import add_gradient, descend_sum
from ddmlp.nn.weights import Shape, Weights
from ddmlp.numerics import PROBE, random_bits

# The expected result of `answer`. A change of the kernels that changes it must also raise `numerics.ARITHMETIC`.
KNOWN_ANSWER = "d4684f67bd47a26a55b56839b9d07f5d22a802963eaf2cdad8acfeed414379b9"

KNOWN_DISTORTION = (
    "c4b6e328ce01709de8e32e1352ad890329b4d0aec9224f4eff8b07f6689d3b60"  # that of `distortion_answer`; the same applies
)
AUGMENTATION = "elastic:alpha=36,sigma=4.5,rotation=30,scale=0.2,shear=0.2,pixels=2"

SHAPE = Shape(300, 70, 11)  # whole blocks, vectors and words, and a partial one of each
ROWS = 200
BOUNDS, MICROBATCH = (0, 40, 170, 190, 200), 40  # steps of one microbatch, and of four
SLOTS = ((0, 0, 1), (0, 1, 1), (1, 1, 2), (2, 2, 2))  # into another buffer or in place, with or without a delay
RATES = (0.03, 0.01, 0.02, 0.04)
LARGE = 150  # rows of a microbatch of several blocks
# Of float64: the smallest normal number, a denormal one, and half the distance from 1 to the next number.
SMALLEST, DENORMAL, HALF_STEP = 2.0**-1022, 2.0**-1050, 2.0**-53
ONE, HALF = 1.0, 0.5  # variables, because Python evaluates expressions of constants when it compiles this file


def check_arithmetic() -> None:
    """Raise MachineError if this machine, or this thread, does not compute the same bits as all other machines.

    The kernels are tested once per process, the thread's floating-point mode at each call.
    """
    found = fault()
    if found is None and _first_answer() == KNOWN_ANSWER:
        return
    remedy = "do not load the library that sets this mode" if found else "try other versions of Numba and llvmlite"
    raise MachineError(
        f"this machine ({machine()}) does not compute the same bits as all others: the known-answer test of the "
        f"kernels gives {answer()}, expected {KNOWN_ANSWER}; {remedy}"
    )


@cache
def check_distortion() -> None:
    """Raise MachineError if this machine does not distort images as all others do."""
    if (found := distortion_answer()) != KNOWN_DISTORTION:
        raise MachineError(
            f"this machine ({machine()}) does not distort images as all others do: the known-answer test gives "
            f"{found}, expected {KNOWN_DISTORTION}; try other versions of Numba and llvmlite"
        )


def check_mode() -> None:
    """Raise MachineError if this thread's floating-point mode has changed. Takes less than a microsecond."""
    if fault() is not None:
        check_arithmetic()


def machine() -> str:
    """Describe this machine's processor, and its fault if one is known."""
    return ", ".join(filter(None, [f"{platform.machine()} {processor()}", fault()]))


def fault() -> str | None:
    """Describe how this thread's floats deviate from IEEE 754; None if they do not. Each thread has its own mode."""
    if DENORMAL * ONE == 0 or SMALLEST * HALF == 0:
        return "denormal numbers are flushed to zero, as a library compiled with -ffast-math does"
    if ONE + HALF_STEP != ONE or ONE + HALF_STEP * (ONE + HALF) == ONE:
        return "results are not rounded to the nearest number, as after a library calls fesetround"
    return None


@cache
def _first_answer() -> str:
    return answer()


def answer() -> str:
    """The SHA-256, in hexadecimal, of what the kernels compute in this thread from fixed inputs.

    The inputs and results include denormal numbers, the sums have many terms of both signs, and e^x reaches its limits.
    """
    digest = hashlib.sha256()
    for array in _results():
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()


def distortion_answer() -> str:
    """The SHA-256, in hexadecimal, of fixed images, distorted."""
    pixels = random_bits(0, PROBE, 8 * 20 * 30 // 8).astype("<u8").view(np.uint8).reshape(8, 600)
    distorter, keys = Distorter(Augmentation.of(AUGMENTATION), (20, 30)), random_bits(0, PROBE, 8, part=1)
    return hashlib.sha256(distorter.apply(pixels, keys).tobytes()).hexdigest()


def _results() -> Iterator[NDArray[Any]]:
    noise = random_bits(0, PROBE, 2 * ROWS * SHAPE.inputs // 8).astype("<u8").view(np.uint8)
    values, chosen = noise.reshape(2, ROWS, SHAPE.inputs)
    pixels = np.where(chosen < 64, values, 0).astype(np.uint8)
    labels = (random_bits(0, PROBE, ROWS, part=1) % SHAPE.outputs).astype(np.uint8)
    weights = Weights.draw(SHAPE, 0)
    for unit, exponent in ((3, -135), (64, -125)):  # denormal weights, and small ones whose gradients are denormal
        weights.w1[:, unit] *= np.float32(2.0**exponent)
        weights.w2[unit] *= np.float32(2.0**exponent)

    stack = np.zeros((3, SHAPE.size), np.float32)
    stack[0] = weights.flat
    steps = Steps(pixels, labels, np.array(BOUNDS), np.array(RATES, np.float32), np.array(SLOTS))
    stats, _ = Network(SHAPE, MICROBATCH, 4).train(steps, stack)
    yield from (stats.errors, stats.mistakes.astype(np.int64), stats.steepest)
    yield from (Weights(SHAPE, flat).values for flat in stack[1:])

    network, gradient = Network(SHAPE, LARGE), Weights(SHAPE)
    yield np.array(network.gradient(weights, pixels[:LARGE], labels[:LARGE], gradient))
    yield gradient.values
    Network(SHAPE, LARGE, bits=6).gradient(weights, pixels[:LARGE], labels[:LARGE], rounded := Weights(SHAPE))
    yield rounded.values
    packed = pack(SHAPE, rounded.flat, np.empty_like(rounded.flat))
    assert packed is not None
    yield packed.view(np.uint32)
    rounded.flat[:] = 0
    unpack(SHAPE, packed, rounded.flat)
    yield rounded.values
    add_gradient(gradient.flat, stack[1])
    descend_sum(weights.flat, gradient.flat, stack[2], np.float32(0.1), gradient.flat)
    yield gradient.values

    found = network.recognise(Weights(SHAPE, 32 * weights.flat), pixels, labels)
    yield from (found.probabilities, found.predicted.astype(np.int64), np.array([found.error]))


if __name__ == "__main__":
    print(answer(), distortion_answer(), sep="\n")
