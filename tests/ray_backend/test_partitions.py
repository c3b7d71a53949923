"""Networks that are cut while a run trains, and a host that vanishes. `make chaos` cuts longer, and everything."""

import subprocess
from pathlib import Path

import pytest

from tests.support.hosts import LONG, Hosts, training
from tests.support.runs import verified

pytestmark = pytest.mark.timeout(240)  # the first test may start the hosts

# The server and the driver are on host 1, a worker each on hosts 2 and 3.
CUTS = [
    pytest.param((1, 3), ("1", "3"), id="both ways"),
    pytest.param((3, 1), ("3", "1", "--one-way"), id="to the server", marks=pytest.mark.chaos),
]

CONNECTION = """
import select, socket, sys, time
from ddmlp.transport import frames
frames.IDLE, frames.INTERVAL, frames.PROBES = 1, 1, 2  # seconds, seconds, number
if sys.argv[1] == "listen":
    listener = socket.create_server(("", 7000))
    print("listening", flush=True)
    wire = frames.FrameSocket(listener.accept()[0])
    print("connected", flush=True)
else:
    wire = frames.FrameSocket(socket.create_connection(("host2", 7000)))
select.select([wire], [], [])
try:
    wire.receive()
except OSError as error:
    print(type(error).__name__, flush=True)
"""


@pytest.mark.parametrize(("way", "words"), CUTS)
def test_simple(hosts: Hosts, data: Path, tmp_path: Path, way: tuple[int, int], words: tuple[str, ...]):
    """A worker is cut off until it is given up, and back again."""
    before = hosts.dropped(*way)
    with training(hosts, 1, data, tmp_path / "run", *LONG) as run:
        run.wait_for("^epoch 2/")
        hosts("cut", *words)
        lost = run.wait_for("^worker ")
        assert "host3" in lost
        assert "not answer" in lost
        assert "1 running" in lost
        assert hosts.dropped(*way) > before
        run.wait_for("^epoch ")  # the other one continues
        hosts("heal")
        assert "2 running" in run.wait_for("a worker has joined")
        run.wait_for("^epoch ")
        run.interrupt()
    assert verified(tmp_path / "run")


@pytest.mark.chaos
def test_relay_cut_off(hosts: Hosts, data: Path, tmp_path: Path):
    """With it, both workers of its host are given up, and both are back again."""
    number = hosts("join", "--cpus", 2).strip()
    with training(hosts, 1, data, tmp_path / "run", *LONG, "--log-level", "info", workers=4) as run:
        run.wait_for("^epoch 2/")
        log = tmp_path / "run" / "logs" / "server.log"
        while "relay 0 on " not in log.read_text():
            run.wait_for("^epoch ")
        hosts("cut", "1", number)
        for _ in range(2):
            lost = run.wait_for("^worker ")
            assert f"host{number}" in lost
            assert "not answer" in lost
        assert hosts.dropped(1, int(number)) > 0
        run.wait_for("^epoch ")  # the others continue
        hosts("heal")
        run.wait_for("a worker has joined: 4 running")
        assert "relay 1 on " in log.read_text()
        run.interrupt()
    hosts("leave", number)
    assert verified(tmp_path / "run")


def test_host_vanishes(hosts: Hosts):
    """An idle connection to a host that has vanished without closing it ends by TCP's keepalive."""
    number = hosts("join", "--cpus", 0).strip()  # Ray may believe for a minute that it is there, but places nothing
    program = ["python", "-c", CONNECTION]
    with hosts.on(2, [*program, "listen"], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "listening\n"
        with hosts.on(int(number), [*program, "connect"]) as client:
            assert server.stdout.readline() == "connected\n"
            hosts("kill", number)
            client.wait()
        assert server.stdout.readline() == "TimeoutError\n"
    assert hosts.dropped(2, int(number)) > 0
