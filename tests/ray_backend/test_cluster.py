"""Connecting to a Ray: a private one that is started here, or a running one."""

import ipaddress
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ddmlp.ray_backend.cluster import Cluster, one_line
from tests.support.processes import descendants


def test_simple(cluster: Cluster):
    assert cluster.own
    assert cluster.nodes == 1
    assert cluster.cpus > 0
    assert cluster.here in {node["NodeID"] for node in cluster.ray.nodes()}
    assert cluster.room().startswith(f"1 node with {cluster.cpus:g} CPUs, ")


class FakeRay:
    """Live nodes with these CPUs."""

    def __init__(self, *cpus: float) -> None:
        self._nodes = [{"NodeID": str(i), "Alive": True, "Resources": {"CPU": each}} for i, each in enumerate(cpus)]

    def nodes(self) -> list[dict[str, Any]]:
        dead = {"NodeID": "dead", "Alive": False, "Resources": {"CPU": 64.0}}
        return [dead, {"NodeID": "none", "Alive": True, "Resources": {}}, *self._nodes]


@pytest.mark.parametrize(
    ("cpus", "workers", "share"),
    [
        ((2,), 1, 1.0),
        ((2,), 2, 1.0),
        ((2,), 3, 0.6666),
        ((2,), 7, 0.2857),
        ((1, 1, 1), 4, 0.5),  # of 3 CPUs each could have 0.75, but no node has room for two of those
        ((4, 1), 6, 0.8),
        ((0.5,), 1, 0.5),
        ((), 3, 1.0),
    ],
)
def test_shares(cpus: tuple[float, ...], workers: int, share: float):
    ray: Any = FakeRay(*cpus)
    assert Cluster(ray, "", True, "").share(workers) == share


def test_cause_of_death():
    error = RuntimeError(
        "The actor died unexpectedly before finishing this task.\n\tclass_name: WorkerActor\n\tactor_id: 01\n"
        "The actor is dead because its worker process has died. Worker exit type: NODE_OUT_OF_MEMORY Worker exit "
        "detail: Task was killed due to the node running low on memory.\nMemory on the node was 15.2GB / 16GB."
    )
    found = one_line(error)
    assert "\n" not in found
    for words in ("The actor died unexpectedly", "NODE_OUT_OF_MEMORY", "15.2GB / 16GB"):
        assert words in found
    assert one_line(ValueError("first\nsecond")) == "ValueError: first"


def test_actor_not_created():
    import ray.exceptions

    error = ray.exceptions.ActorDiedError(
        ray.exceptions.RayTaskError(
            "ray::WorkerActor.__init__()",
            '\x1b[36mray::WorkerActor.__init__()\x1b[39m (pid=1)\n  File "x"\nImportError: no \x1b[1mname\x1b[0m',
            ImportError("no name"),
        )
    )
    assert one_line(error) == "ActorDiedError: ImportError: no name"


def listening(processes: set[int]) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The addresses on which these processes listen for TCP connections."""
    sockets = set()
    for process in processes:
        for path in Path(f"/proc/{process}/fd").glob("*"):
            try:
                sockets.add(str(path.readlink()).removeprefix("socket:[").removesuffix("]"))
            except OSError:
                continue
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == "0A" and inode in sockets:
                words = bytes.fromhex(local.partition(":")[0])
                packed = b"".join(words[i : i + 4][::-1] for i in range(0, len(words), 4))
                address = ipaddress.ip_address(packed)
                found.append(getattr(address, "ipv4_mapped", None) or address)
    return found


def test_own_ray_is_private(cluster: Cluster):
    assert cluster.own
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
    addresses = listening(descendants(os.getpid()))
    assert len(addresses) >= 3
    assert [address for address in addresses if not address.is_loopback] == []
    command = [sys.executable, "-c", "import sys, ray; ray.init(sys.argv[1], log_to_driver=False)", cluster.address]
    without = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    bounded = {"RAY_NUM_REDIS_GET_RETRIES": "1"}
    assert subprocess.run(command, env={**os.environ, **bounded}, capture_output=True, timeout=60).returncode == 0
    refused = subprocess.run(command, env={**without, **bounded}, capture_output=True, text=True, timeout=60)
    assert refused.returncode != 0
    assert "uthenticat" in refused.stderr or "Failed to connect" in refused.stderr
