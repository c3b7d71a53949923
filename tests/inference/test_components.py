"""Connected components, compared with a flood fill."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ddmlp.inference.components import Components

MASKS = arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def flooded(mask: np.ndarray) -> set[frozenset[tuple[int, int]]]:
    """The components of a mask, as sets of pixels (y, x)."""
    left, found = {(int(y), int(x)) for y, x in np.argwhere(mask)}, set()
    while left:
        part, edge = set(), [left.pop()]
        while edge:
            y, x = edge.pop()
            part.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            edge += near
        found.add(frozenset(part))
    return found


@given(MASKS)
def test_components(mask):
    parts = Components.of(mask)
    assert ((parts.labels > 0) == mask).all()
    places = [np.argwhere(parts.labels == number + 1) for number in range(len(parts.area))]
    assert {frozenset(map(tuple, each.tolist())) for each in places} == flooded(mask)
    for number, each in enumerate(places):
        assert parts.area[number] == len(each)
        assert [parts.top[number], parts.left[number]] == each.min(axis=0).tolist()
        assert [parts.bottom[number], parts.right[number]] == (each.max(axis=0) + 1).tolist()
