"""Arrays with something on both sides that must stay as it is."""

import numpy as np

BYTES, GUARD = 512, 0xA5


class Guards:
    """What stands beside the arrays that were given out."""

    def __init__(self):
        self._rooms = []

    def copy(self, array):
        """The same numbers in a place that is watched."""
        room = np.full(array.nbytes + 2 * BYTES, GUARD, np.uint8)
        self._rooms.append(room)
        inside = room[BYTES:-BYTES].view(array.dtype).reshape(array.shape)
        inside[...] = array
        return inside

    def check(self):
        for room in self._rooms:
            assert (room[:BYTES] == GUARD).all()
            assert (room[-BYTES:] == GUARD).all()
