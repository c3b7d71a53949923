"""The long runs, in short: what they watch and kill is there."""

from pathlib import Path

import pytest

from ddmlp.ray_backend.cluster import Cluster
from tests.chaos import endurance


@pytest.mark.slow
def test_soak(cluster: Cluster, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(endurance, "SETTLED", 0.0)
    monkeypatch.setattr(endurance, "SOAK_PAUSES", (2.0, 3.0))
    *memory, killed = endurance.soak(cluster, data, tmp_path, seconds=12.0, seed=1)
    assert [row.what.split()[3] for row in memory] == ["driver", "server", "worker", "object"]
    workers, _, servers, _ = killed.fired.split()
    assert int(workers) > 0
    assert int(servers) > 0
    assert killed.fine


def test_memory_of_no_process(cluster: Cluster):
    memory = endurance.Memory(cluster)
    memory.look()
    assert [(row.fired, row.fine) for row in memory.rows("nothing", 1.0)] == [("nan", False)] * 4
