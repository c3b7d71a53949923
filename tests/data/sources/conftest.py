"""One RabbitMQ for all tests of streams, because it takes seconds to start."""

from collections.abc import Iterator

import pytest

from tests.support.broker import free_port
from tests.support.brokers import running
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
