"""The cut of a reduction tree into nodes, each the work of one unit. It changes only the messages, never the additions.

A unit goes to a worker, or to a relay, which divides it among the workers of its node.
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import cycle

from ddmlp.plan.reduction_tree import Node

MESSAGE = 1  # microbatches that a worker computes while a relay sends a gradient over the network, roughly


@lru_cache(maxsize=4096)
def cut(root: Node, capacities: tuple[int, ...]) -> tuple[Node, ...]:
    """Cut the tree of a node, for connections that take the largest unit that is left in turn, again and again.

    Of the cuts that balance the load best, it is the one with the largest nodes.

    Parameters
    ----------
    root : Node
        The node.
    capacities : tuple of int
        The number of workers behind each connection, in descending order. All workers have the same speed.

    Returns
    -------
    tuple of Node
        The nodes, the largest ones first.

    Examples
    --------
    >>> cut(Node(0, 4), (1, 1))
    (Node(lo=0, hi=2), Node(lo=2, hi=4))
    >>> cut(Node(0, 5), (4, 1))
    (Node(lo=0, hi=4), Node(lo=4, hi=5))
    """
    sizes = [1 << bit for bit in range((root.hi - root.lo - 1).bit_length(), -1, -1)]
    cuts = [tuple(sorted(_carved(root, size, capacities), key=_smallness)) for size in sizes]
    return min(cuts, key=lambda nodes: _duration(nodes, capacities))


def _carved(root: Node, size: int, capacities: tuple[int, ...]) -> Iterator[Node]:
    """For each connection in turn, from left to right: the largest node with at most `size` microbatches a worker."""
    left = [root]  # what is left, the leftmost last
    for capacity in cycle(capacities):
        if not left:
            return
        node = left.pop()
        while node.hi - node.lo > size * capacity:
            node, other = node.children()
            left.append(other)
        yield node


def _smallness(node: Node) -> int:
    return node.lo - node.hi


def _duration(nodes: tuple[Node, ...], capacities: tuple[int, ...]) -> int:
    """The time for all nodes, in microbatches of one worker, if each goes to the connection that completes it first
    (list scheduling)."""
    ends = [0] * len(capacities)
    for node in nodes:
        then = [end + _time(node.hi - node.lo, capacity) for end, capacity in zip(ends, capacities, strict=True)]
        first = then.index(min(then))
        ends[first] = then[first]
    return max(ends)


@lru_cache(maxsize=4096)
def _time(microbatches: int, capacity: int) -> int:
    """The time for one node."""
    if capacity == 1:
        return microbatches
    alone = (1,) * capacity
    return MESSAGE + _duration(cut(Node(0, microbatches), alone), alone)
