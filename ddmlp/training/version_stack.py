"""The versions of the weights that later steps will read, in one array, so that one call can make many steps."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ddmlp.nn.weights import Floats, Weights, zeros
from ddmlp.runs.checkpoint import Checkpoint


class VersionStack:
    """Keeps each version in a slot of one array until no later step reads it."""

    def __init__(self, start: Checkpoint, delay: int, updates: NDArray[np.int64] | None = None) -> None:
        """Begin with copies of the versions in a checkpoint.

        updates (versions, 2), int64: the step and the version read of each update; a version is kept up to the last
        update that reads it. Without them, a version is kept for `delay` versions.
        """
        self._shape = start.weights.shape
        self._last_read: Callable[[int], int] = lambda version: version + delay
        count = delay + 1
        if updates is not None:
            last = _last_reads(updates)
            self._last_read, count = last.__getitem__, _most_needed(last)
        self.buffers: Floats = zeros(count * self._shape.size).reshape(count, self._shape.size)
        first = start.step - len(start.earlier)
        self._slots = {}
        for slot, (version, weights) in enumerate(enumerate([*start.earlier, start.weights], first)):
            self.buffers[slot] = weights.flat
            self._slots[version] = slot

    def __getitem__(self, version: int) -> Weights:
        """The weights of the newest version, or of one that a later step reads."""
        return Weights(self._shape, self.buffers[self._slots[version]])

    def slots(self, version: int, reads: Sequence[int]) -> NDArray[np.intp]:
        """The slots of the versions that each of the next steps reads, changes and makes: shape (steps, 3).

        version: the version that the first of these steps changes; reads: the version that each step reads.
        """
        found = np.zeros((len(reads), 3), np.intp)
        if len(self.buffers) == 1:
            return found
        slots = self._slots
        for index, (now, read) in enumerate(enumerate(reads, version)):
            target = self._free_slot(slots, now)
            found[index] = slots[read], slots[now], target
            slots = _moved(slots, now + 1, target)
        return found

    def publish(self, version: int, slots: NDArray[np.intp]) -> None:
        """Note that the steps with these `slots` were made; `version`: the newest one before the first of them."""
        if len(self.buffers) == 1:
            self._slots = {version + len(slots): 0}
            return
        for new, target in enumerate(slots[:, 2].tolist(), version + 1):
            self._slots = _moved(self._slots, new, target)

    def _free_slot(self, slots: dict[int, int], now: int) -> int:
        """A slot for the version after `now`: that of `now` itself, if no later step reads that version."""
        if self._last_read(now) <= now:
            return slots[now]
        used = {slot for version, slot in slots.items() if self._last_read(version) > now}
        return next(slot for slot in range(len(self.buffers)) if slot not in used)


def _moved(slots: dict[int, int], version: int, target: int) -> dict[int, int]:
    """The slot of each version after `version` was written to `target`, where another version may have been."""
    return {each: slot for each, slot in slots.items() if slot != target} | {version: target}


def _last_reads(updates: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each version, the last version whose update reads it; -1 if there is none."""
    last = np.full(len(updates) + 1, -1)
    np.maximum.at(last, updates[:, 1], np.arange(len(updates)))
    return last


def _most_needed(last: NDArray[np.int64]) -> int:
    """The number of slots needed: the most versions that are read later, at any time, and one for the next version."""
    versions = np.arange(len(last))
    lasting = last > versions
    changes = np.zeros(len(last) + 1, np.int64)
    np.add.at(changes, versions[lasting], 1)
    np.add.at(changes, last[lasting], -1)
    return int(np.cumsum(changes).max()) + 1
