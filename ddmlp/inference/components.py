"""The connected components of a mask."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.intp]


@dataclass(frozen=True)
class Components:
    """What is connected in a mask (height, width), also by corners.

    Parameters
    ----------
    labels : (height, width) int
        The number of each place's component, from 1 on; 0 beside them.
    area : (n,)
        The pixels of each.
    top, left, bottom, right : (n,)
        Its box; the last two are one past it.
    """

    labels: Numbers
    area: Numbers
    top: Numbers
    left: Numbers
    bottom: Numbers
    right: Numbers

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> "Components":
        """By runs: the pixels of a row that are next to each other are one, and runs that touch are joined."""
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
    """Which runs touch which of the row below: two arrays of their numbers."""
    below = (row + 1) * stride
    first = np.searchsorted(row * stride + end, below + begin, "left")
    last = np.searchsorted(row * stride + begin, below + end, "right")
    counts = np.maximum(last - first, 0)
    upper = np.repeat(np.arange(len(row)), counts)
    return upper, np.arange(len(upper)) + np.repeat(first - np.cumsum(counts) + counts, counts)


def _joined(upper: Numbers, lower: Numbers, count: int) -> Numbers:
    """The component of each of `count` runs, 0, 1, ...; of runs that touch it is the same."""
    parent = np.arange(count)
    while (parent[upper] != parent[lower]).any():
        least = np.minimum(parent[upper], parent[lower])
        np.minimum.at(parent, parent[upper], least)
        np.minimum.at(parent, parent[lower], least)
        while (parent != parent[parent]).any():
            parent = parent[parent]
    return np.unique(parent, return_inverse=True)[1]
