"""Where workers reach the server, or the coordinator and the servers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ddmlp.transport import protocol
from ddmlp.transport.tls import Credentials


@dataclass(frozen=True)
class ServerAddress:
    """Where a server of a slice listens: for processes on its node, if that is the driver's, and for others."""

    local: protocol.Address | None
    far: protocol.Address | None

    @classmethod
    def of(cls, bound: Sequence[protocol.Address]) -> "ServerAddress":
        """Tell addresses apart: the path of a Unix socket is local."""
        found = {type(address): address for address in bound}
        return cls(found.get(str), found.get(tuple))

    def reached(self, *, far: bool) -> protocol.Address:
        """The address for a process; far: whether that is on another node than the driver."""
        address = self.far if far or self.local is None else self.local
        assert address is not None, "it listens for other nodes if there may be any"
        return address


@dataclass(frozen=True)
class Endpoint:
    """Where workers reach the server.

    local, far: its address for workers on its node, and for others; secret: of the run, which the workers must know;
    server: its actor, which writes the logs of workers on other nodes; servers: the addresses of those that have a
    slice; certificates: of clients on other nodes, or the folder that has them there.
    """

    local: protocol.Address
    far: protocol.Address | None
    secret: bytes = field(repr=False)
    server: Any = None
    servers: tuple[ServerAddress, ...] = ()
    certificates: Credentials | Path | None = field(default=None, repr=False)
