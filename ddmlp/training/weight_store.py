"""The versions of the weights that are still read."""

from collections.abc import Collection, Sequence
from itertools import chain

from ddmlp.nn.weights import Floats, Shape, Weights


class WeightStore:
    """Each version lies in a buffer of its own. A new version is written into a buffer that holds none that is still
    needed, and can be read once it is published."""

    def __init__(self, shape: Shape, buffers: Sequence[Floats] | None = None) -> None:
        """Store versions in these buffers, float32 (shape.size,) each; or in as many as are needed."""
        self._shape, self._grows = shape, buffers is None
        self._slots = [Weights(shape, buffer) for buffer in buffers or ()]
        self._versions = [-1] * len(self._slots)  # that each slot holds
        self._newest = self._reserved = 0  # slots

    def __getitem__(self, version: int) -> Weights:
        """The weights of a version that is still needed."""
        return self._slots[self.slot(version)]

    def slot(self, version: int) -> int:
        """The number of the buffer that holds `version`."""
        return self._versions.index(version)

    def reserve(self, needed: Collection[int]) -> Weights | None:
        """A buffer for the next version that holds none of the `needed` ones; None if there is none.

        It is the newest version's own if that is not needed, because it is in the caches; it is then changed in place.
        Until `publish` it can still be read as what it held: an update that fails must leave it as it was.
        """
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
