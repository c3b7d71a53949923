"""The newest update of the weights, for workers on slow links: fewer bytes than the weights."""

from collections.abc import Mapping

import numpy as np

from ddmlp.nn.packing import pack
from ddmlp.nn.weights import Floats, Shape, zeros
from ddmlp.transport.peer import Peer

Step = tuple[Floats, float]  # a packed gradient, and its step size


class PackedUpdates:
    """Keeps the gradient of the newest step, packed. A worker that has the version before makes the newest one of it,
    by the same kernel as the server, so to the same bits."""

    def __init__(self, shape: Shape, peers: Mapping[int, Peer]) -> None:
        """peers: all workers of the pool."""
        self._shape, self._peers = shape, peers
        self._buffers: tuple[Floats, Floats] | None = None  # for a sum, and for packing it
        self._noted: Step | None = None  # of the version that is not published yet
        self._newest: Step | None = None
        self._version = -1  # which `_newest` makes

    def note(self, left: Floats, right: Floats, step_size: float) -> None:
        """Pack the update that makes the next version, if a worker may need it. See `WorkerPool.note_update`."""
        if not any(peer.slow for peer in self._peers.values()):
            return
        total, room = self._buffers = self._buffers or (zeros(self._shape.size), zeros(self._shape.size))
        if right.size:
            left = np.add(left, right, out=total)
        packed = pack(self._shape, left, room)
        # A copy, because it may still be on its way to a worker when the next one is packed.
        self._noted = None if packed is None else (packed.copy(), step_size)

    def publish(self, version: int) -> None:
        """The next version is `version`."""
        self._version, self._newest, self._noted = version, self._noted, None

    def update_for(self, peer: Peer, version: int) -> Step | None:
        """The update that makes this version of the one that a worker has; None to send it the weights."""
        return self._newest if peer.slow and version == self._version == peer.version + 1 else None
