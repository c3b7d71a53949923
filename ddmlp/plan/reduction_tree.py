"""The reduction tree: the order in which the gradients of a step's microbatches are added."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple


class Node(NamedTuple):
    """A node of a step's reduction tree: the sum of the gradients of the microbatches lo <= i < hi.

    The sum of a node is that of its left child plus that of its right child.

    >>> root = Node(0, 6)
    >>> root.children()
    (Node(lo=0, hi=4), Node(lo=4, hi=6))
    >>> list(root.split(2))
    [Node(lo=0, hi=2), Node(lo=2, hi=4), Node(lo=4, hi=6)]
    >>> Node(4, 5).parent_and_sibling(root)
    (Node(lo=4, hi=6), Node(lo=5, hi=6))
    >>> Node(4, 5).is_in(root), Node(3, 5).is_in(root)
    (True, False)
    """

    lo: int
    hi: int

    @property
    def leaf(self) -> bool:
        """Whether the node is a single microbatch."""
        return self.hi - self.lo == 1

    def children(self) -> tuple["Node", "Node"]:
        """The left and the right child; the size of the left one is the largest power of two below this node's size."""
        middle = self.lo + (1 << ((self.hi - self.lo - 1).bit_length() - 1))
        return Node(self.lo, middle), Node(middle, self.hi)

    def is_in(self, root: "Node") -> bool:
        """Whether this node is in the tree of `root`."""
        while root != self and not root.leaf and root.lo <= self.lo < self.hi <= root.hi:
            left, right = root.children()
            root = left if self.hi <= left.hi else right
        return root == self

    def split(self, size: int) -> Iterator["Node"]:
        """The largest nodes of at most `size` microbatches that make up this one, from left to right."""
        if self.hi - self.lo <= size:
            yield self
        else:
            for child in self.children():
                yield from child.split(size)

    def parent_and_sibling(self, root: "Node") -> tuple["Node", "Node"]:
        """This node's parent and sibling in the tree of `root`. The node must be in that tree, below the root."""
        return _parent_and_sibling(root, self)


@lru_cache(maxsize=65_536)
def _parent_and_sibling(root: Node, node: Node) -> tuple[Node, Node]:
    left, right = root.children()
    if node in (left, right):
        return root, right if node == left else left
    return _parent_and_sibling(left if node.hi <= left.hi else right, node)
