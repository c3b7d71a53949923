"""The reduction tree: in which order the gradients of a step's microbatches are added."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple


class Node(NamedTuple):
    """A node of a step's reduction tree: the microbatches lo <= i < hi. A leaf is one microbatch."""

    lo: int
    hi: int

    @property
    def leaf(self) -> bool:
        return self.hi - self.lo == 1

    def children(self) -> tuple["Node", "Node"]:
        """The two nodes whose sums, left + right, make this one's; the left has the largest power of two < size."""
        middle = self.lo + (1 << ((self.hi - self.lo - 1).bit_length() - 1))
        return Node(self.lo, middle), Node(middle, self.hi)

    def split(self, size: int) -> Iterator["Node"]:
        """The largest nodes under this one that hold at most `size` microbatches, from left to right."""
        if self.hi - self.lo <= size:
            yield self
        else:
            for child in self.children():
                yield from child.split(size)

    def parent_and_sibling(self, root: "Node") -> tuple["Node", "Node"]:
        """This node's parent and sibling in the tree under `root`, which it must be in and not be."""
        return _parent_and_sibling(root, self)


@lru_cache(maxsize=65_536)
def _parent_and_sibling(root: Node, node: Node) -> tuple[Node, Node]:
    left, right = root.children()
    if node in (left, right):
        return root, right if node == left else left
    return _parent_and_sibling(left if node.hi <= left.hi else right, node)
