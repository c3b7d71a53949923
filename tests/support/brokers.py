"""The message brokers that tests start."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.broker import Server
from tests.support.kafka_server import Kafka
from tests.support.nats_server import Nats
from tests.support.rabbitmq_server import RabbitMQ
from tests.support.redis_server import Redis

REQUIRED = "DDMLP_SOURCES"  # if this is set, as in CI, tests of brokers fail where a server is missing
SERVERS: dict[str, Callable[..., Server]] = {"redis": Redis, "kafka": Kafka, "nats": Nats, "rabbitmq": RabbitMQ}
# RabbitMQ takes long to start: tests share one, in one process; those that need their own are left to `make chaos`.
_QUICK = [kind for kind in SERVERS if kind != "rabbitmq"]
SHARED = [*_QUICK, pytest.param("rabbitmq", marks=pytest.mark.xdist_group("rabbitmq"))]
OWN = [*_QUICK, pytest.param("rabbitmq", marks=pytest.mark.chaos)]


@contextmanager
def running(kind: str, folder: Path, **settings: str) -> Iterator[Server]:
    """Run a server; the test is skipped if this machine does not have it."""
    with started(SERVERS[kind](folder, **settings)) as server:
        yield server


@contextmanager
def started(server: Server) -> Iterator[Server]:
    """Start a server for the block; the test is skipped if this machine does not have it."""
    if not shutil.which(server.program):
        assert REQUIRED not in os.environ, f"{REQUIRED} is set, and there is no {server.program}"
        pytest.skip(f"no {server.program} here: apt-get install {server.install}")
    try:
        server.start()
        yield server
    finally:
        server.kill()
