"""A worker's end of the message path if there are several servers."""

import logging
import struct
import time
from collections.abc import Iterator

from ddmlp.nn.weights import Shape, Weights
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.messages import Unit
from ddmlp.training.weight_slice import NO_ROWS
from ddmlp.transport import protocol
from ddmlp.transport.client import WorkerClient
from ddmlp.transport.slice_links import SliceLinks

log = logging.getLogger(__name__)


class SliceClient:
    """The connections to the coordinator and to all servers, with the methods of `WorkerClient`.

    Units come from the coordinator, without arrays; the weights come from the servers, a slice each, and the gradients
    go there. If one connection ends, all do. The time for that counts as waited.
    """

    def __init__(self, coordinator: WorkerClient, servers: SliceLinks, shape: Shape) -> None:
        self._coordinator, self._servers = coordinator, servers
        self._weights, self._gradient = Weights(shape), Weights(shape)
        self._version = -1  # of the weights

    @property
    def upstream(self) -> WorkerClient:
        """The connection to the coordinator."""
        return self._coordinator

    def units(self) -> Iterator[tuple[Unit, Weights]]:
        """Units and their weights as they arrive, until the coordinator ends the stream or a connection ends."""
        for unit, _ in self._coordinator.units():
            start = time.monotonic()
            try:
                complete = self._read(unit.version)
            except (EOFError, OSError) as error:
                log.info("the connection to a server has ended: %s", str(error))
                return
            except (ValueError, struct.error) as error:
                log.warning("malformed message from a server: %s", protocol.printable(str(error)))
                return
            self._coordinator.add_wait(time.monotonic() - start)
            if complete:
                yield unit, self._weights
            else:  # the weights were given up, so the answer does not count
                self._coordinator.answer(unit, NO_ROWS)

    def gradient(self) -> Weights:
        """The buffer for the gradient of the next answer."""
        return self._gradient

    def answer(self, unit: Unit, row_stats: RowStats) -> None:
        """Send the gradient in the buffer `gradient` to the servers, then the answer to the coordinator."""
        start = time.monotonic()
        try:
            self._servers.add(unit, self._gradient)
        except (EOFError, ValueError) as error:
            raise ConnectionError(f"the connection to a server has ended: {error}") from None
        self._coordinator.add_wait(time.monotonic() - start)
        self._coordinator.answer(unit, row_stats)

    def fail(self, error: BaseException) -> None:
        """Send the coordinator the error that ends this worker."""
        self._coordinator.fail(error)

    def close(self) -> None:
        """End all connections."""
        self._coordinator.close()
        self._servers.close()

    def _read(self, version: int) -> bool:
        """Have the weights of a version in the buffer; returns whether all servers had it."""
        if version == self._version:
            return True
        self._version = -1
        if self._servers.read(version, self._weights):
            self._version = version
        return self._version == version
