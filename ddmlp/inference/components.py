"""Connected components of a mask."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.intp]


@dataclass(frozen=True)
class Components:
    """The n connected components of a mask (height, width). Pixels that touch at a corner are connected.

    Parameters
    ----------
    labels : (height, width) int
        The component of each pixel, 1 to n; 0 for the background.
    area : (n,) int
        Number of pixels of each component.
    top, left, bottom, right : (n,) int
        Bounding box of each component; bottom and right are exclusive.

    Examples
    --------
    >>> found = Components.of(np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0], [1, 1, 0]], bool))
    >>> found.area.tolist(), found.top.tolist(), found.bottom.tolist()
    ([2, 2], [0, 3], [2, 4])
    """

    labels: Numbers
    area: Numbers
    top: Numbers
    left: Numbers
    bottom: Numbers
    right: Numbers

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> "Components":
        """Find the components of a mask (height, width) bool: split each row into runs, and join runs that touch."""
        edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
        row, begin = (edges == 1).nonzero()
        end = (edges == -1).nonzero()[1]
        upper, lower = _touching(row, begin, end, mask.shape[1] + 2)
        number = _joined(upper, lower, len(row))
        count = int(number.max(initial=-1)) + 1
        labels = np.zeros(mask.shape, np.intp)
        labels[mask] = np.repeat(number + 1, end - begin)

        def least(values: Numbers) -> Numbers:
            found = np.full(count, np.iinfo(np.intp).max)
            np.minimum.at(found, number, values)
            return found

        area = np.bincount(number, end - begin, count).astype(np.intp)
        return cls(labels, area, least(row), least(begin), -least(-row - 1), -least(-end))


def _touching(row: Numbers, begin: Numbers, end: Numbers, stride: int) -> tuple[Numbers, Numbers]:
    """Return the pairs of runs that touch, as two arrays: numbers of runs, and of runs in the row below."""
    below = (row + 1) * stride
    first = np.searchsorted(row * stride + end, below + begin, "left")
    last = np.searchsorted(row * stride + begin, below + end, "right")
    counts = np.maximum(last - first, 0)
    upper = np.repeat(np.arange(len(row)), counts)
    return upper, np.arange(len(upper)) + np.repeat(first - np.cumsum(counts) + counts, counts)


def _joined(upper: Numbers, lower: Numbers, count: int) -> Numbers:
    """Return the component, 0, 1, ..., of each of `count` runs: the same for runs that touch."""
    parent = np.arange(count)
    while (parent[upper] != parent[lower]).any():
        least = np.minimum(parent[upper], parent[lower])
        np.minimum.at(parent, parent[upper], least)
        np.minimum.at(parent, parent[lower], least)
        while (parent != parent[parent]).any():
            parent = parent[parent]
    return np.unique(parent, return_inverse=True)[1]
