"""The class of the Ray actors that have a slice of the weights each."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ddmlp.data.manifest import Manifest
from ddmlp.errors import DdmlpError
from ddmlp.nn.known_answer import check_arithmetic
from ddmlp.nn.optimizer import SGD
from ddmlp.ray_backend.actors import hello_about
from ddmlp.ray_backend.supervised import Supervised, add_log
from ddmlp.training.job import Job
from ddmlp.training.slices import cut, slice_shape
from ddmlp.training.weight_slice import WeightSlice
from ddmlp.transport import protocol
from ddmlp.transport.slice_server import SliceServer
from ddmlp.transport.tls import Credentials, Tls

log = logging.getLogger(__name__)


class SliceActor(Supervised):
    """A server of a slice."""

    slice_class = WeightSlice
    _server: SliceServer | None = None
    _error: Exception | None = None  # of `start`

    def start(
        self,
        job: Job,
        secret: bytes,
        addresses: Sequence[protocol.Address],
        number: int,
        manifest: Manifest,
        coordinator: Any = None,
        certificates: Credentials | Path | None = None,
    ) -> list[protocol.Address]:
        """Listen at the addresses; returns those bound. The host "" is that of this node.

        number: which slice it has, from 0; manifest: of the training data, which this node need not have; coordinator:
        its actor, which writes the log if this is another node; certificates: of this end, see `Endpoint`.
        """
        add_log(job, f"server-{number + 1}", coordinator)
        try:
            check_arithmetic()
            shape = slice_shape(cut(job.shape(manifest), job.servers)[number])
            greeting = hello_about(-1, job, job.data / "train", manifest)
            part = self.slice_class(shape, SGD(job.config))
            places = [_on_this_node(address) for address in addresses]
            tls = None if certificates is None else Tls(certificates, server=True)
            self._server = SliceServer(part, shape, greeting, secret, places, job.timeouts, tls)
        except (DdmlpError, OSError) as error:
            self._error = error
            raise
        bound = self._server.addresses
        log.info("server %d, process %d, has %d numbers and listens at %s", number + 1, os.getpid(), shape.size, bound)
        return bound

    def serve(self) -> None:
        """Serve until the coordinator has ended. Raises the error of `start`, too: this call lasts as long as the
        server."""
        if self._error is not None:
            raise self._error
        assert self._server is not None, "it was started"
        self._server.serve()


def _on_this_node(address: protocol.Address) -> protocol.Address:
    if isinstance(address, str) or address[0]:
        return address
    import ray

    return str(ray.util.get_node_ip_address()), address[1]  # type: ignore[no-untyped-call]
