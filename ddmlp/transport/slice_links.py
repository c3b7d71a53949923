"""Connections to all servers, each of which has a slice of the weights."""

import select
from collections.abc import Callable, Sequence
from typing import Self

from ddmlp.config import Timeouts
from ddmlp.nn.weights import Shape, Weights
from ddmlp.training.messages import Unit
from ddmlp.training.slices import cut
from ddmlp.transport import protocol
from ddmlp.transport.server_link import ServerLink
from ddmlp.transport.slice_messages import ADDED, GRADIENT, MESSAGE_BYTES, READ, WEIGHTS, Message
from ddmlp.transport.tls import Tls


class SliceLinks:
    """The connections of a worker, or of the coordinator.

    Slices are sent to all servers, and received from all, at the same time. All methods raise OSError if a connection
    breaks, EOFError if it was closed, and ValueError if a message is malformed.
    """

    def __init__(
        self,
        addresses: Sequence[protocol.Address],
        secret: bytes,
        hello: protocol.Hello,
        shape: Shape,
        timeouts: Timeouts,
        tls: Tls | None = None,
    ) -> None:
        """Connect to the servers, in the order of their slices. Raises as `ServerLink` does.

        tls: encrypts connections to other machines.
        """
        self._silence = timeouts.server
        self.slices = cut(shape, len(addresses))
        self.links: list[ServerLink] = []
        try:
            for address in addresses:
                self.links.append(
                    ServerLink(address, secret, hello, timeouts, tls if protocol.is_far(address) else None)
                )
        except BaseException:
            self.close()
            raise

    def read(self, version: int, out: Weights) -> bool:
        """Receive a version of the weights once it exists; returns whether all servers had it."""
        for link in self.links:
            link.wire.send(Message(READ, version=version).pack())
        arriving: list[Message | None] = [None] * len(self.links)

        def receive(server: int) -> bool:
            found, part = arriving[server], out.flat[self.slices[server]]
            if found is None:
                found = arriving[server] = self.next_message(server)
                if found is None:
                    return False
                if (found.kind, found.version) != (WEIGHTS, version) or found.follows not in (0, part.nbytes):
                    raise ValueError(f"a server sent {found}, expected {part.nbytes:,} bytes of version {version}")
            return not found.follows or self.links[server].wire.receive_array(part)

        self._exchange(receive)
        return all(
            found and found.follows == out.flat[part].nbytes for found, part in zip(arriving, self.slices, strict=True)
        )

    def add(self, unit: Unit, gradient: Weights) -> None:
        """Send the gradient of a unit; returns when all servers have it."""
        for link, part in zip(self.links, self.slices, strict=True):
            flat = gradient.flat[part]
            link.wire.send(Message.about(GRADIENT, unit, flat.nbytes).pack(), flat)

        def receive(server: int) -> bool:
            found = self.next_message(server)
            if found is None:
                return False
            if (found.kind, found.unit) != (ADDED, unit):
                raise ValueError(f"a server sent {found}, expected that it has added {unit}")
            return True

        self._exchange(receive)

    def close(self) -> None:
        """End all connections."""
        for link in self.links:
            link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def next_message(self, server: int) -> Message | None:
        """The next message of a server; None if it has not arrived completely."""
        frame = self.links[server].wire.receive(MESSAGE_BYTES)
        return None if frame is None else Message.unpack(frame)

    def _exchange(self, receive: Callable[[int], bool]) -> None:
        """Send unsent data, and call `receive` for each server that has sent data, until it has returned True for each.

        Whichever connection is ready is served, so that all servers send at the same time. Raises TimeoutError if none
        is for as long as a server may be busy.
        """
        poll, waiting = select.poll(), {}
        for server, link in enumerate(self.links):
            waiting[link.wire.fileno()] = server
            poll.register(link.wire, select.POLLIN | select.POLLOUT if link.wire.unsent else select.POLLIN)
        while waiting:
            pending = [(each, select.POLLIN) for each, server in waiting.items() if self.links[server].wire.pending]
            ready = pending or poll.poll(1000 * self._silence)
            if not ready:
                raise TimeoutError(f"no server has sent or accepted anything for {self._silence:g} s")
            for descriptor, events in ready:
                server = waiting[descriptor]
                wire = self.links[server].wire
                if events & select.POLLOUT:
                    wire.flush()
                    if not wire.unsent:
                        poll.modify(descriptor, select.POLLIN)
                if events & ~select.POLLOUT and receive(server):
                    poll.unregister(descriptor)
                    del waiting[descriptor]
