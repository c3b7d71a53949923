"""The messages between the parameter server and a worker, over a socket.

On one machine arrays are in shared memory and only keys are sent; between machines each array follows its frame.
Nothing is pickled.

    worker  -> server   hello: JSON, see `Hello`, after a challenge (handshake.py)
    server  -> worker   welcome: JSON, see `Welcome`, and two descriptors if arrays are shared
    server  -> worker   UNIT [weights], ... , an empty message at the end
    worker  -> server   ANSWER [times] [gradient], ... , or FAILURE: JSON {"error": class, "message": text}
    relay   -> server   the same, and STATUS: JSON, see `Status`
"""

import socket
import struct
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from ddmlp import errors
from ddmlp.config import MAX_WORKERS
from ddmlp.errors import ClusterError, DatasetError, DdmlpError, MachineError, TrainingError
from ddmlp.plan.reduction_tree import Node
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.messages import Unit
from ddmlp.training.worker_pool import LostWorker

VERSION = 13  # of this protocol and of the layout of shared memory; both ends must have the same
BACKLOG = 1024  # connections that the system accepts while the server is busy
LONGEST_TEXT = 2000  # characters of a text from another process

Address = str | tuple[str, int]  # a Unix socket's path, or host and port

# kind, step, version, lo, hi, slot of the weights; bytes of them that follow; of an update, the step size
_UNIT = struct.Struct("<cqqIIIQf")
# kind, step, version, lo, hi, slot of the gradient; bytes of it that follow, seconds waited; RowStats
_ANSWER = struct.Struct("<cqqIIIQdqQdqd")
UNIT_BYTES, ANSWER_BYTES = _UNIT.size, _ANSWER.size
UNIT, ANSWER, FAILURE, STATUS = b"U", b"A", b"F", b"S"

T = TypeVar("T")


class Hello(Struct, frozen=True):
    """A worker's description of itself.

    protocol, arithmetic (its answer to the known-answer test), dataset_sha256 and config must be equal to the server's.
    The other fields explain a difference: the processor, the host, the versions of libraries, and the dataset.
    """

    worker: Annotated[int, Meta(ge=-(2**31), lt=2**31)]
    protocol: int
    arithmetic: str
    dataset_sha256: str
    config: dict[str, bool | int | float | str]
    machine: str = ""
    host: str = ""
    versions: dict[str, str] = {}
    dataset: str = ""

    def difference(self, other: "Hello") -> str | None:
        """The first reason why a worker cannot work for this server, in words; None if there is none."""
        found = None
        if other.protocol != self.protocol:
            found = (
                f"it has version {other.protocol} of the protocol, the server {self.protocol}; install the same "
                "ddmlp on all hosts"
            )
        elif other.arithmetic != self.arithmetic:
            found = (
                "it computes other bits than the server, as the known-answer test of the kernels shows; it has "
                f"{other.machine or 'an unknown processor'}, the server {self.machine}"
            )
        if found is not None:
            named = {**self.versions, **other.versions}
            differ = [name for name in named if name != "processor" and _differs(self.versions, other.versions, name)]
            versions = [f"{name} {other.versions.get(name)} (the server {self.versions.get(name)})" for name in differ]
            return printable(f"{found}; {', '.join(versions) or 'their software has the same versions'}")
        if other.dataset_sha256 != self.dataset_sha256:
            return printable(
                f"it has another dataset: {other.dataset or 'unknown'}, the server {self.dataset or 'unknown'}; copy "
                "the server's to its host"
            )
        differ = [name for name in {**self.config, **other.config} if _differs(self.config, other.config, name)]
        if differ:
            theirs, mine = ({name: each.config.get(name) for name in differ} for each in (other, self))
            return printable(f"it has other settings: {theirs}, the server {mine}")
        return None


def _differs(mine: Mapping[str, object], theirs: Mapping[str, object], name: str) -> bool:
    """Whether a member is missing in one of them, or has another type (1 is not True here) or value."""
    one, other = mine.get(name), theirs.get(name)
    return (type(one), one) != (type(other), other)


def printable(text: str) -> str:
    """A text from another process, in one line: control characters are escaped, and a long text is cut."""
    if len(text) > LONGEST_TEXT:
        text = text[:LONGEST_TEXT] + " ..."
    return errors.printable(text)


class Welcome(Struct, frozen=True):
    """The server's answer.

    shared: whether arrays are in shared memory; slots: the number of those for weights; refused: why the worker is
    rejected, or None.
    """

    shared: bool
    slots: int
    refused: str | None = None


class Failure(Struct, frozen=True):
    """The class and the message of the error that ends a worker."""

    error: str
    message: str


class Status(Struct, frozen=True):
    """What a relay reports of its workers.

    capacity: how many of them can compute at a time; answered: the connected ones, and how many units each has
    answered; lost, reissued, compared: those of `PoolStats` since the last status.
    """

    capacity: Annotated[int, Meta(ge=0, le=MAX_WORKERS)]
    answered: Annotated[dict[int, int], Meta(max_length=MAX_WORKERS)]
    lost: list[LostWorker] = []
    reissued: int = 0
    compared: int = 0


def pack(message: Struct) -> bytes:
    """A message of the handshake, a failure or a status, as JSON."""
    return msgspec.json.encode(message)


def unpack(frame: bytes, kind: type[T]) -> T:
    """A message of this kind; unknown members are ignored. Raises ValueError if the frame is no such message."""
    try:
        return msgspec.json.decode(frame, type=kind)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"this is no {kind.__name__.lower()}: {error}") from None


def pack_unit(unit: Unit, slot: int, follows: int, step_size: float = 0.0) -> bytes:
    return _UNIT.pack(UNIT, unit.step, unit.version, *unit.node, slot, follows, step_size)


def unpack_unit(frame: bytes) -> tuple[Unit, int, int, float]:
    """The unit, the slot of its weights in shared memory, the number of bytes of weights, or of an update, that follow
    instead, and the step size of an update.

    Raises ValueError if the frame is no unit, struct.error if it has another size.
    """
    kind, step, version, lo, hi, slot, follows, step_size = _UNIT.unpack(frame)
    _check(kind, UNIT)
    return Unit(step, version, Node(lo, hi)), slot, follows, step_size


def pack_answer(unit: Unit, row_stats: RowStats, slot: int, follows: int, waited: float) -> bytes:
    return _ANSWER.pack(ANSWER, unit.step, unit.version, *unit.node, slot, follows, waited, *row_stats)


def unpack_answer(frame: bytes) -> tuple[Unit, RowStats, int, int, float]:
    """The unit, its statistics, the slot of its gradient in shared memory, the number of bytes of the gradient that
    follow instead, and the seconds waited.

    Raises ValueError if the frame is no answer, struct.error if it has another size.
    """
    kind, step, version, lo, hi, slot, follows, waited, *row_stats = _ANSWER.unpack(frame)
    _check(kind, ANSWER)
    return Unit(step, version, Node(lo, hi)), RowStats(*row_stats), slot, follows, waited


def _check(kind: bytes, expected: bytes) -> None:
    if kind != expected:
        raise ValueError(f"received a message of kind {kind!r}, expected {expected!r}")


def pack_failure(error: BaseException) -> bytes:
    return FAILURE + pack(Failure(type(error).__name__, printable(str(error))))


def unpack_failure(frame: bytes) -> DdmlpError:
    """The error that a worker, or a server of a slice, has reported; raises ValueError if the frame is malformed."""
    found = unpack(frame[1:], Failure)
    kind = {each.__name__: each for each in (DatasetError, MachineError, TrainingError)}.get(found.error, ClusterError)
    return kind(printable(found.message))


def pack_status(status: Status) -> bytes:
    """The frame, which is not shorter than an answer; see `FrameSocket.receive`."""
    return (STATUS + pack(status)).ljust(ANSWER_BYTES)


def unpack_status(frame: bytes) -> Status:
    """The status of a relay. Raises ValueError if the frame is malformed."""
    return unpack(frame[1:], Status)


def listen(address: Address) -> socket.socket:
    """A socket that listens at the path of a Unix socket, or at host and port (0: a free port)."""
    if isinstance(address, tuple):
        return socket.create_server(address, backlog=BACKLOG)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def is_far(address: Address) -> bool:
    """Whether other machines can connect to an address. Raises OSError if its host is unknown."""
    if isinstance(address, str):
        return False
    return not all(ip_address(found[4][0]).is_loopback for found in socket.getaddrinfo(address[0], None))


def connect(address: Address, seconds: float) -> socket.socket:
    """A connection to a listening socket. Raises OSError; over a network, after at most `seconds`."""
    if isinstance(address, tuple):
        return socket.create_connection(address, seconds)
    end = socket.socket(socket.AF_UNIX)
    try:
        end.connect(address)
    except OSError:
        end.close()
        raise
    return end
