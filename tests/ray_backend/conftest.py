"""Hosts for the tests of runs across machines: started once, and undisturbed at the beginning of each test."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hosts import Hosts, hosts_up, need_hosts


@pytest.fixture(scope="package")
def three_hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Three hosts; their workers see the data, and the folders of the tests."""
    need_hosts()
    with hosts_up(share=[tmp_path_factory.getbasetemp(), Path(sys.prefix)]) as found:
        yield found


@pytest.fixture
def hosts(three_hosts: Hosts) -> Iterator[Hosts]:
    """The three hosts."""
    three_hosts.reset()
    yield three_hosts
    three_hosts.reset()
