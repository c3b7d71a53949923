"""The class of the Ray actors that are relays: one on each node with several workers, other than the server's."""

import logging
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from ddmlp.data.manifest import Manifest
from ddmlp.errors import DdmlpError
from ddmlp.nn.known_answer import check_arithmetic
from ddmlp.nn.weights import Shape
from ddmlp.ray_backend.actors import hello_about
from ddmlp.ray_backend.endpoint import Endpoint
from ddmlp.ray_backend.socket_folder import SocketFolder
from ddmlp.ray_backend.supervised import Supervised, add_log
from ddmlp.training.job import Job
from ddmlp.training.worker_pool import relay_number
from ddmlp.transport.client import Client
from ddmlp.transport.relay import run_relay
from ddmlp.transport.socket_pool import SocketWorkerPool

log = logging.getLogger(__name__)


class RelayActor(Supervised):
    """A relay."""

    pool_options: ClassVar[dict[str, Any]] = {}  # of SocketWorkerPool, for tests
    _folder: SocketFolder
    _pool: SocketWorkerPool
    _shape: Shape
    _trace: bool
    _connect: Callable[[], Client]
    _error: Exception | None = None  # of `start`

    def start(self, job: Job, endpoint: Endpoint, manifest: Manifest, number: int, slot: int) -> str:
        """Listen for the workers of this node; returns the path of the socket.

        endpoint: of the server; manifest: of the training data, which the relay does not read; number: of the relay,
        from 0; slot: the number of the log file, which a replacement continues.
        """
        add_log(job, f"relay-{slot}", endpoint.server)
        log.info("relay %d on %s, process %d", number, socket.gethostname(), os.getpid())
        try:
            check_arithmetic()
            self._folder, self._shape, self._trace = SocketFolder(), job.shape(manifest), job.trace
            greetings = [hello_about(each, job, job.data / "train", manifest) for each in (-1, relay_number(number))]
            self._pool = SocketWorkerPool(
                self._shape,
                greetings[0],
                endpoint.secret,
                [str(self._folder.path / "relay")],
                capacity=job.queue_capacity,
                timeouts=job.timeouts,
                **self.pool_options,
            )
            self._connect = partial(endpoint.connect, greetings[1], self._shape, job.timeouts, far=True)
        except (DdmlpError, OSError) as error:
            self._error = error
            raise
        address = self._pool.addresses[0]
        assert isinstance(address, str), "the path of a Unix socket"
        return address

    def serve(self) -> str:
        """Work for the server until it has ended or cannot be reached, or no worker is left; returns which, in words.
        Raises the error of `start`, too: this call lasts as long as the relay."""
        if self._error is not None:
            raise self._error
        try:
            answered = run_relay(self._pool, self._connect, self._shape, trace=self._trace)
        except ConnectionError as error:
            log.warning("%s", error)
            return str(error)
        except Exception as error:
            log.error("the relay ends: %s", str(error), exc_info=not isinstance(error, DdmlpError))
            raise
        finally:
            self._folder.remove()
        return f"it was released after {answered:,} units"
