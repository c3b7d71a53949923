"""The cut of a reduction tree: nodes of one tree, balanced, and the largest for the connections with most workers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddmlp.plan.cut import cut
from ddmlp.plan.reduction_tree import Node
from tests.support.trees import nodes_under


def sizes(microbatches, *capacities):
    return [node.hi - node.lo for node in cut(Node(0, microbatches), capacities)]


def test_simple():
    assert sizes(8, 4, 4) == [4, 4]
    assert sizes(5, 4, 1) == [4, 1]
    assert sizes(12, 4, 4, 1, 1, 1, 1) == [4, 4, 1, 1, 1, 1]
    assert sizes(8, 1, 1, 1) == [1] * 8


@pytest.mark.parametrize("capacity", [1, 2, 4, 7])
def test_one_connection(capacity):
    """It gets all in one unit: one gradient crosses the network."""
    assert [sizes(microbatches, capacity) for microbatches in range(1, 70)] == [[each] for each in range(1, 70)]


def test_few_microbatches():
    """A relay gets a small step whole, rather than share it with a worker that would take longer for its part."""
    assert sizes(4, 4, 1) == [4]
    assert sizes(1, 4, 4) == [1]


@given(st.integers(0, 1_000), st.integers(1, 150), st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_any_capacities(lo, microbatches, capacities):
    """The nodes make up the root, the largest first, wherever it is in its tree."""
    capacities = tuple(sorted(capacities, reverse=True))
    found = cut(Node(lo, lo + microbatches), capacities)
    assert sorted(index for node in found for index in range(*node)) == list(range(lo, lo + microbatches))
    assert set(found) <= set(nodes_under(Node(lo, lo + microbatches)))
    assert [node.hi - node.lo for node in found] == sizes(microbatches, *capacities)
    assert sizes(microbatches, *capacities) == sorted(sizes(microbatches, *capacities), reverse=True)


@given(st.integers(1, 150), st.integers(1, 20))
def test_equal_capacities(microbatches, workers):
    """They get nodes of one size, but for the last ones."""
    root = Node(0, microbatches)
    found = cut(root, (1,) * workers)
    assert found == tuple(root.split(found[0].hi - found[0].lo))


@given(st.integers(1, 60), st.integers(1, 5), st.integers(2, 5))
def test_equal_relays(units, relays, workers):
    """Relays with equal numbers of workers get whole units, as workers do."""
    scaled = sizes(units * workers, *(workers,) * relays)
    assert len(scaled) <= len(sizes(units * workers, *(1,) * relays))
