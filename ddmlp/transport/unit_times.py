"""The times that a worker adds to its answers, if the run has a trace."""

import struct

from ddmlp.training.messages import UnitTimes
from ddmlp.training.observe import observe
from ddmlp.transport.client import Client, Computing

_TIMES = struct.Struct("<ddd")  # at the end of an answer's frame: `UnitTimes`
MOST = 2.0**40  # seconds


def send_times(computing: Computing, client: Client, reader: object = None) -> None:
    """Have a worker or a relay send the times of each unit with its answer.

    reader: what the worker finds its rows with; None: a relay, which does not read any.
    """
    upstream, found = client.upstream, 0.0

    def note_rows(_begin: float, end: float, *_: object) -> None:
        nonlocal found
        found = end

    def note_unit(begin: float, end: float, *_: object) -> None:
        upstream.times = _TIMES.pack(begin, max(begin, found), end)

    if reader is not None:
        observe(reader, "read", note_rows)
    observe(computing, "compute", note_unit)


def read_times(packed: bytes) -> UnitTimes:
    """The times at the end of an answer. Raises ValueError if they are none, struct.error if they have another size."""
    times = UnitTimes(*_TIMES.unpack(packed))
    if not 0 <= times.begun <= times.found <= times.computed < MOST:
        raise ValueError(f"its times are {times}")
    return times
