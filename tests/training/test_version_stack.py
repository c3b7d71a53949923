"""The stack of versions: each step finds those that it reads, changes and writes, in the fewest possible slots."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ddmlp.nn.weights import Shape, Weights
from ddmlp.runs.checkpoint import Checkpoint
from ddmlp.training.version_stack import VersionStack

SHAPE = Shape(3, 2, 2)


def filled(version):
    """Weights that all equal their version."""
    return Weights(SHAPE, np.full(SHAPE.size, version, np.float32))


def start_at(step, delay=0):
    """A checkpoint with the versions that later steps read."""
    return Checkpoint(filled(step), step, earlier=tuple(filled(n) for n in range(max(0, step - delay), step)))


def make(stack, version, reads):
    """Make steps as a kernel does, and check that each finds its versions."""
    slots = stack.slots(version, reads)
    assert slots.shape == (len(reads), 3)
    for now, read, (from_slot, source, target) in zip(range(version, 10**9), reads, slots, strict=False):
        assert stack.buffers[from_slot, 0] == read
        assert stack.buffers[source, 0] == now
        stack.buffers[target] = now + 1
    stack.publish(version, slots)
    assert stack[version + len(reads)].flat[0] == version + len(reads)


def needed(reads, end):
    """The most versions needed at a time: those that later steps read, the newest one, and the next one, unless that
    may replace the newest."""
    most = 1
    for now in range(end):
        kept = {read for read in reads[now + 1 :] if read <= now}
        most = max(most, len(kept | {now}) + (now in kept))
    return most


@given(delay=st.integers(0, 5), start=st.integers(0, 10), stretches=st.lists(st.integers(1, 7), min_size=1))
def test_any_delay(delay, start, stretches):
    stack, now = VersionStack(start_at(start, delay), delay), start
    assert len(stack.buffers) == delay + 1 == needed([max(0, step - delay) for step in range(30)], 30)
    for count in stretches:
        make(stack, now, [max(0, step - delay) for step in range(now, now + count)])
        now += count
        for version in range(max(0, now - delay), now + 1):
            assert (stack[version].flat == version).all(), "checkpoints need it"


@st.composite
def orders(draw):
    """For each version, the version that its update reads: any version before it."""
    count = draw(st.integers(1, 20))
    return [draw(st.integers(max(0, version - draw(st.integers(0, 20))), version)) for version in range(count)]


@given(orders(), st.data())
@example([0, 0, 0, 0, 0], None)
@example([0, 1, 1, 3, 2, 5], None)
def test_any_order_of_updates(reads, data):
    updates = np.array(list(enumerate(reads)), np.int64)
    stack = VersionStack(start_at(0), 0, updates)
    assert len(stack.buffers) == needed(reads, len(reads))
    now = 0
    while now < len(reads):
        count = data.draw(st.integers(1, len(reads) - now)) if data else 1
        make(stack, now, reads[now : now + count])
        now += count


def test_order_from_a_checkpoint():
    """The updates are those since the start of the run."""
    reads = [0, 0, 1, 2, 4, 5, 4, 6]
    stack = VersionStack(start_at(4), 0, np.array(list(enumerate(reads)), np.int64))
    make(stack, 4, reads[4:])


@pytest.mark.parametrize("delay", [0, 2])
def test_steps_not_made(delay):
    """The slots of steps that were not made may be requested again."""
    stack, reads = VersionStack(start_at(0), delay), [max(0, step - delay) for step in range(9)]
    slots = stack.slots(0, reads)
    assert (stack.slots(0, reads) == slots).all()
    for version, target in enumerate(slots[:4, 2], 1):
        stack.buffers[target] = version
    stack.publish(0, slots[:4])
    assert stack[4].flat[0] == 4
    make(stack, 4, reads[4:])


def test_weights_are_copied():
    start = start_at(2, 2)
    stack = VersionStack(start, 2)
    stack.buffers[:] = 7
    assert [weights.flat[0] for weights in (*start.earlier, start.weights)] == [0, 1, 2]
