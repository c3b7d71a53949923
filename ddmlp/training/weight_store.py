"""The versions of the weights that are still read."""

from collections.abc import Collection, Sequence
from itertools import chain

from ddmlp.nn.weights import Floats, Shape, Weights


class WeightStore:
    """Keeps each version in its own buffer.

    A new version is written to a buffer whose version is no longer needed, and can be read once it is published.

    >>> store = WeightStore(Shape(2, 3, 2))
    >>> store.reserve(needed=()).flat[:] = 1.0
    >>> store.publish(version=0)
    >>> float(store[0].w1.sum())
    6.0
    """

    def __init__(self, shape: Shape, buffers: Sequence[Floats] | None = None) -> None:
        """Use these buffers, float32 (shape.size,) each; without them, allocate as many as are needed."""
        self._shape, self._grows = shape, buffers is None
        self._slots = [Weights(shape, buffer) for buffer in buffers or ()]
        self._versions = [-1] * len(self._slots)  # the version in each slot
        self._newest = self._reserved = 0  # numbers of slots
        self.needed: Collection[int] = ()  # the versions that the last reserved buffer was none of

    def __getitem__(self, version: int) -> Weights:
        """The weights of a version that is still needed."""
        return self._slots[self.slot(version)]

    def slot(self, version: int) -> int:
        """The number of the buffer that holds `version`."""
        return self._versions.index(version)

    def reserve(self, needed: Collection[int]) -> Weights | None:
        """Reserve a buffer for the next version. Returns None if each buffer holds one of the `needed` versions.

        If the newest version is not needed, its buffer is used, because it is in the caches; the update then changes it
        in place. Until `publish`, the buffer counts as the version that it held, so an update that fails must leave it
        unchanged.
        """
        self.needed = needed
        for slot in chain([self._newest] if self._slots else [], range(len(self._slots))):
            if self._versions[slot] not in needed:
                self._reserved = slot
                return self._slots[slot]
        if not self._grows:
            return None
        self._slots.append(Weights(self._shape))
        self._versions.append(-1)
        self._reserved = len(self._slots) - 1
        return self._slots[-1]

    def publish(self, version: int) -> None:
        """Let the reserved buffer be read as the weights of `version`."""
        self._versions[self._reserved] = version
        self._newest = self._reserved
