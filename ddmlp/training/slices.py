"""The slices of a flat buffer of weights or of a gradient, one for each server.

All additions and updates are element-wise, so a slice has the same bits wherever it is computed. A slice is a run of
whole vectors. It has the shape of a network with one vector of hidden units and no outputs, so that everything that
holds weights also holds a slice of them.
"""

from itertools import pairwise

from ddmlp.nn.weights import LANES, Shape

NOTHING_HERE = Shape(0, 0, 0)  # of a coordinator, whose buffers are empty: the servers have the numbers


def cut(shape: Shape, count: int) -> list[slice]:
    """The `count` slices of the buffers of a network: a function of its shape and `count` alone.

    They differ by one vector at most. If there are fewer vectors than slices, some are empty.

    >>> cut(Shape(784, 256, 10), 2)
    [slice(0, 101632, None), slice(101632, 203264, None)]
    """
    vectors = shape.size // LANES
    ends = [LANES * (vectors * index // count) for index in range(count + 1)]
    return [slice(*pair) for pair in pairwise(ends)]


def slice_shape(part: slice) -> Shape:
    """The shape of a slice.

    >>> slice_shape(slice(64, 256))
    Shape(inputs=3, hidden=64, outputs=0)
    """
    return Shape((part.stop - part.start) // LANES, LANES, 0)
