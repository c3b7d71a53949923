"""The messages to and from a server that owns a slice of the weights. Arrays are slices.

    coordinator -> server   LOAD version, array          a version to begin with
                            BEGIN step, version, node    a step that reads this version; node: its root
                            APPLY step, value, versions  make the next version; value: the step size; versions: to keep
    worker -> server        GRADIENT step, version, node, array
    either -> server        READ version                 once it exists
    server -> either        WEIGHTS version, array       or no array, if the version was given up
    server -> worker        ADDED step, version, node    the server has the gradient
    server -> coordinator   APPLIED version; or FAILURE, as in `protocol`

A worker answers the coordinator once all servers have added its gradient. So the coordinator applies a step only if
every server has all of it, whatever was lost with a worker or its connections.
"""

import struct
from typing import NamedTuple

from ddmlp.plan.reduction_tree import Node
from ddmlp.training.messages import Unit

LOAD, BEGIN, APPLY, GRADIENT, READ = b"L", b"B", b"P", b"G", b"R"
WEIGHTS, ADDED, APPLIED = b"W", b"D", b"V"
ROOM = 2048  # versions in a message, at most: more than a pool has buffers for

# kind, step, version, lo, hi, bytes of the array that follows, value; 64-bit integers may follow in the frame
_MESSAGE = struct.Struct("<cqqIIQd")
MESSAGE_BYTES = _MESSAGE.size


class Message(NamedTuple):
    """A message. follows: the bytes of the array after it."""

    kind: bytes
    step: int = 0
    version: int = 0
    node: Node = Node(0, 0)
    follows: int = 0
    value: float = 0.0
    versions: tuple[int, ...] = ()

    @property
    def unit(self) -> Unit:
        """The unit of a gradient."""
        return Unit(self.step, self.version, self.node)

    @classmethod
    def about(cls, kind: bytes, unit: Unit, follows: int = 0) -> "Message":
        """A message about a unit."""
        return cls(kind, unit.step, unit.version, unit.node, follows)

    def pack(self) -> bytes:
        kind, step, version, node, follows, value, versions = self
        return _MESSAGE.pack(kind, step, version, *node, follows, value) + struct.pack(f"<{len(versions)}q", *versions)

    @classmethod
    def unpack(cls, frame: bytes) -> "Message":
        """Raises ValueError if the frame is no message."""
        more, rest = divmod(len(frame) - MESSAGE_BYTES, 8)
        if more < 0 or rest or more > ROOM:
            raise ValueError(f"received a message of {len(frame):,} bytes, expected {MESSAGE_BYTES} and at most "
                             f"{ROOM:,} versions")  # fmt: skip
        kind, step, version, lo, hi, follows, value = _MESSAGE.unpack_from(frame)
        versions = struct.unpack_from(f"<{more}q", frame, MESSAGE_BYTES)
        return cls(kind, step, version, Node(lo, hi), follows, value, versions)
