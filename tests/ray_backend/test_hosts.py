"""Runs across hosts with slow and lossy links, on other processors, and with hosts that come and go."""

import subprocess
from pathlib import Path

import pytest

import ddmlp
from tests.support.helpers import elsewhere
from tests.support.hosts import LONG, Hosts, training
from tests.support.runs import verified

pytestmark = pytest.mark.timeout(240)  # the first test starts the hosts

LINKS = {"delay and loss": ("--delay", 5, "--loss", 1, "--rate", 100), "delay": ("--delay", 50)}


def lost(hosts: Hosts) -> int:
    """The number of packets that links have lost."""
    return sum(int(each["lost"]) for each in hosts.links().values())


@pytest.mark.parametrize(
    "link",
    [
        pytest.param(LINKS["delay and loss"], id="delay and loss"),
        pytest.param(LINKS["delay"], id="delay", marks=pytest.mark.chaos),
    ],
)
def test_simple(hosts: Hosts, data: Path, tmp_path: Path, link: tuple[object, ...]):
    alone = ddmlp.fit(data, run=tmp_path / "alone", hidden=20, batch=150, microbatch=32, epochs=1)
    hosts("link", "all", "all", *link)
    before = lost(hosts)
    with training(hosts, 1, data, tmp_path / "run", "--epochs", 1) as run:
        assert run.ended() == 0, run.errors()
    assert run.result["weights_sha256"] == alone.weights_sha256
    assert min(run.result["answered"].values()) > 0, "each host has computed"
    assert (lost(hosts) > before) == ("--loss" in link)


@pytest.mark.parametrize("servers", [1, pytest.param(3, marks=pytest.mark.chaos)])
def test_relay(hosts: Hosts, data: Path, tmp_path: Path, servers: int):
    """Two workers of a host share the connection of a relay, also to several servers; one alone needs none."""
    alone = ddmlp.fit(data, run=tmp_path / "alone", hidden=20, batch=150, microbatch=32, epochs=1)
    number = hosts("join", "--cpus", 2).strip()
    more = ("--epochs", 1, "--servers", servers, "--log-level", "debug")
    with training(hosts, 1, data, tmp_path / "run", *more, workers=4) as run:
        assert run.ended() == 0, run.errors()
    hosts("leave", number)
    assert run.result["weights_sha256"] == alone.weights_sha256
    assert min(run.result["answered"].values()) > 0, "each worker has computed"
    logs = {log.stem: log.read_text() for log in (tmp_path / "run" / "logs").iterdir()}
    assert "relay 0 connected to the server at ('10.77.0.1'" in logs["relay-0"]
    assert f"relay 0 on host{number} joined" in logs["server"]
    shared = [name for name, log in logs.items() if name.startswith("worker") and "memory is shared" in log]
    assert len(shared) == 2
    assert "relay-1" not in logs


def test_several_servers(hosts: Hosts, data: Path, tmp_path: Path):
    """One on each host, the slow and lossy links between them."""
    alone = ddmlp.fit(data, run=tmp_path / "alone", hidden=20, batch=150, microbatch=32, epochs=1)
    hosts("link", "all", "all", *LINKS["delay and loss"])
    before = lost(hosts)
    with training(hosts, 1, data, tmp_path / "run", "--epochs", 1, "--servers", 3, "--log-level", "info") as run:
        assert run.ended() == 0, run.errors()
    assert run.result["weights_sha256"] == alone.weights_sha256
    assert run.result["server_deaths"] == 0
    assert lost(hosts) > before
    logs = [(tmp_path / "run" / "logs" / f"server-{number}.log").read_text() for number in (1, 2, 3)]
    assert ["the coordinator on host1 joined" in log for log in logs] == [True] * 3


@pytest.mark.chaos
def test_other_processor(hosts: Hosts, data: Path, tmp_path: Path):
    """A host joins that computes as for an old processor, without fma; it works, and leaves again."""
    run = tmp_path / "run"
    with training(hosts, 1, data, run, *LONG, "--log-level", "info", workers="1:3") as found:
        found.wait_for("^epoch 2/")
        number = hosts("join", **elsewhere(), DDMLP_CACHE=str(tmp_path / "cache")).strip()
        found.wait_for("a worker has joined: 3 running")
        found.wait_for("^epoch ")
        hosts("leave", number)
        assert f"host{number}" in found.wait_for("^worker .* died")
        found.wait_for("^epoch ")
        found.interrupt()
    assert any((tmp_path / "cache").iterdir()), "it has compiled kernels for its processor"
    assert verified(run)


def test_each_host_is_apart(hosts: Hosts, tmp_path: Path):
    """What a host writes to /tmp and /dev/shm, the others do not see, but they see a shared folder."""
    write = "echo here | tee /tmp/mine /dev/shm/mine $0/shared; hostname"
    done = [hosts.on(number, ["bash", "-c", write, tmp_path], stdout=subprocess.PIPE) for number in (2,)]
    assert [each.communicate()[0] for each in done] == ["here\nhost2\n"]
    look = "ls /tmp/mine /dev/shm/mine; cat $0/shared; hostname"
    other = hosts.on(3, ["bash", "-c", look, tmp_path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert other.communicate()[0] == "here\nhost3\n"
    assert not Path("/dev/shm/mine").exists()
