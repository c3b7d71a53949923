"""Where workers reach the server, or the coordinator and the servers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ddmlp.config import Timeouts
from ddmlp.nn.weights import Shape
from ddmlp.training.slices import NOTHING_HERE
from ddmlp.transport import protocol
from ddmlp.transport.client import Client, WorkerClient
from ddmlp.transport.slice_client import SliceClient
from ddmlp.transport.slice_links import SliceLinks
from ddmlp.transport.tls import Credentials, Tls


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

    def connect(
        self,
        hello: protocol.Hello,
        shape: Shape,
        timeouts: Timeouts,
        *,
        far: bool,
        kind: type[WorkerClient] = WorkerClient,
    ) -> Client:
        """Connect to the server, or to the coordinator and all servers. far: from another node than the driver's.

        Raises ClusterError if a server rejects this client, ConnectionError if one cannot be reached.
        """
        address = self.far if far else self.local
        assert address is not None, "the server listens for other nodes before a worker there is sent to it"
        tls = None if self.certificates is None else Tls(self.certificates, server=False)
        first = tls if protocol.is_far(address) else None
        if not self.servers:
            return kind(address, self.secret, hello, shape, timeouts, first)
        coordinator = kind(address, self.secret, hello, NOTHING_HERE, timeouts, first)
        try:
            places = [server.reached(far=far) for server in self.servers]
            return SliceClient(coordinator, SliceLinks(places, self.secret, hello, shape, timeouts, tls), shape)
        except BaseException:
            coordinator.close()
            raise
