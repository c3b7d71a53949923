"""Servers for several tests; one RabbitMQ for all tests of streams, because it takes seconds to start."""

from collections.abc import Iterator

import pytest

from tests.support.broker import Server, free_port
from tests.support.brokers import SHARED, running
from tests.support.certificates import write_server_files
from tests.support.rabbitmq_server import RabbitMQ


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A RabbitMQ that also listens with TLS, and has the user trainer with the password hunter2."""
    folder = tmp_path_factory.mktemp("rabbitmq")
    files = write_server_files(folder)
    settings = {
        "stream.listeners.ssl.1": f"127.0.0.1:{free_port()}",
        "ssl_options.cacertfile": f"{files}/ca.crt",
        "ssl_options.certfile": f"{files}/tls.crt",
        "ssl_options.keyfile": f"{files}/tls.key",
    }
    with running("rabbitmq", folder, **settings) as found:
        assert isinstance(found, RabbitMQ)
        found.add_user("trainer", "hunter2")
        yield found


@pytest.fixture(scope="module", params=SHARED)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of each kind for all tests of a module, whose streams have names of their own."""
    if request.param == "rabbitmq":
        yield request.getfixturevalue("rabbitmq")
        return
    with running(request.param, tmp_path_factory.mktemp(request.param)) as found:
        yield found
