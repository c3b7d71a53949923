"""Nodes that cannot compute the run: they are named and not used again, and the run continues."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ddmlp.config import TrainConfig
from ddmlp.data.dataset import Dataset
from tests.support.runs import alone

CONFIG = TrainConfig(hidden=20, batch=150, microbatch=32, epochs=40)
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs several nodes on one machine"),
]
more = pytest.mark.chaos  # only in `make chaos`

# In a separate process, with a Ray of several nodes of one CPU each.
SCRIPT = '''
import json, os, signal, sys
os.environ.update(RAY_AUTH_MODE="disabled")
import logging
from dataclasses import replace
from pathlib import Path
from ray.cluster_utils import Cluster as Nodes
from ddmlp.config import TrainConfig
from ddmlp.data.transform import Transform
from ddmlp.errors import DatasetError, DdmlpError
from ddmlp.nn import known_answer
from ddmlp.ray_backend import actors, server_data
from ddmlp.ray_backend.choice import choose
from ddmlp.ray_backend.cluster import connect
from ddmlp.ray_backend.trainer import RayTrainer
from ddmlp.ray_backend.worker_group import WorkerGroup
from ddmlp.training.worker import Worker
from tests.support.helpers import plain
from tests.support.runs import begin, job

def log(node):
    with (marks / node).open("a") as file:
        file.write("x")

class NoData(actors.WorkerActor):
    def work(self, job, endpoint, *, far, **more):
        if far:
            log("far")
            raise DatasetError("/data/train is no dataset")
        return super().work(job, endpoint, far=far, **more)

class NoDataAnywhere(actors.WorkerActor):
    def work(self, job, endpoint, *, far, **more):
        raise DatasetError("/data/train is no dataset")

class OtherArithmetic(actors.WorkerActor):
    def work(self, job, endpoint, *, far, **more):
        if far:
            log("far")
            actors.answer = lambda: "f" * 64
        return super().work(job, endpoint, far=far, **more)

class Torn(Worker):
    def compute(self, *_):
        log("far")
        raise DatasetError("shard-00001.arrow is damaged")

class DamagedShard(actors.WorkerActor):
    def work(self, job, endpoint, *, far, **more):
        if far:
            self.worker_class = Torn
        return super().work(job, endpoint, far=far, **more)

class EmptyFolder(actors.WorkerActor):
    def work(self, job, endpoint, *, far, **more):
        if far:
            log("far")
            job = replace(job, data=marks)
        return super().work(job, endpoint, far=far, **more)

class NoFolder(actors.WorkerActor):
    def work(self, job, endpoint, *, far, **more):
        if far:
            log("far")
            server_data.DatasetCache.of_user = classmethod(lambda cls: cls(marks / "cache"))
            job = replace(job, data=Path("/nowhere/data"))
        return super().work(job, endpoint, far=far, **more)

class ServerDies(NoFolder):
    def work(self, job, endpoint, *, far, **more):
        if far and not (marks / "far").exists():
            import ray
            process = ray.get(endpoint.server.ping.remote())
            read = server_data.ServerData.read_part
            def kill(*arguments):
                server_data.ServerData.read_part = read
                os.kill(process, signal.SIGKILL)
                return read(*arguments)
            server_data.ServerData.read_part = kill
        return super().work(job, endpoint, far=far, **more)

BLOCKED = """
import sys
class Finder:
    asked = False
    def find_spec(self, name, path=None, target=None):
        if name == "ddmlp":
            with open(%r, "a") as file:
                file.write("" if self.asked else "x")
            self.asked = True
            raise ModuleNotFoundError("No module named 'ddmlp'")
sys.meta_path.insert(0, Finder())
"""

TRANSFORM = """
import os
if os.environ.get("FAR"):
    with open(%r, "a") as file:
        file.write("x")
    import absent_package
def same(pixels, *_):
    return pixels
"""

kind, nodes, workers, data, run, marks = sys.argv[1], *map(int, sys.argv[2:4]), *map(Path, sys.argv[4:])
marks.mkdir()
more = {}
if kind == "WithoutDdmlp":
    (marks / "sitecustomize.py").write_text(BLOCKED % str(marks / "far"))
    more = {"env_vars": {"PYTHONPATH": str(marks)}}
config, transform = TrainConfig(**json.loads(os.environ["CONFIG"])), None
if kind == "WithoutPackage":
    transform = Transform("same", TRANSFORM % str(marks / "far"))
    config, more = replace(config, transform_sha256=transform.sha256), {"env_vars": {"FAR": "1"}}
quiet = {"include_dashboard": False, "num_cpus": 1}
started = Nodes(initialize_head=True, head_node_args=quiet)
for _ in range(nodes - 1):
    started.add_node(num_cpus=1, **more)
cluster = connect(choose(started.address))
begin(run, config, data)
worker = globals().get(kind, actors.WorkerActor)
Group = type("Group", (WorkerGroup,), {"worker_class": worker})
found = {"lost": []}
try:
    trainer = type("Trainer", (RayTrainer,), {"group_class": Group})(
        job(data, run, workers, config, transform=transform), cluster
    )
    try:
        while True:
            report = trainer.advance(0.2)
            found["lost"] += [plain(event) for event in report.events if type(event).__name__ == "Lost"]
            if report.result is not None:
                found["result"] = plain(report.result)
                break
    finally:
        trainer.close()
except DdmlpError as error:
    found["error"] = [type(error).__name__, str(error)]
cluster.leave()
started.shutdown()
print(json.dumps(found))
'''


@pytest.fixture
def on_nodes(data: Path, tmp_path: Path):
    """Trains with workers of a kind on a number of nodes; returns the result, and how often the other node was used."""

    def on_nodes(kind: str, nodes: int, workers: int) -> tuple[dict[str, Any], int]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        clean["CONFIG"] = json.dumps(CONFIG.as_dict())
        marks = tmp_path / "marks"
        words = [kind, nodes, workers, data, tmp_path / "run", marks]
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *map(str, words)], capture_output=True, text=True, env=clean, timeout=200
        )
        assert done.returncode == 0, done.stderr
        used = len((marks / "far").read_text()) if (marks / "far").exists() else 0
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found, used

    return on_nodes


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("OtherArithmetic", "known-answer"),
        pytest.param("NoData", "no dataset", marks=more),
        pytest.param("DamagedShard", "shard-00001.arrow", marks=more),
        pytest.param("EmptyFolder", "dataset.json", marks=more),
        pytest.param("WithoutDdmlp", "No module named 'ddmlp'", marks=more),
        pytest.param("WithoutPackage", "No module named 'absent_package'", marks=more),
    ],
)
def test_node_is_rejected(kind: str, words: str, on_nodes: Any, data: Path, tmp_path: Path):
    found, used = on_nodes(kind, 2, 2)
    assert "error" not in found, found
    assert used == 1, "the node was used again"
    (lost,) = found["lost"]
    assert lost["cause"] == "rejected"
    assert lost["host"]
    assert words in lost["reason"]
    assert found["result"]["workers_lost"]["rejected"] == 1
    assert found["result"]["worker_deaths"] == 0
    assert found["result"]["steps"] == 40 * 27
    assert found["result"]["weights_sha256"] == alone(data, tmp_path / "alone", CONFIG)["weights_sha256"]


@pytest.mark.parametrize(("kind", "deaths"), [("NoFolder", 0), pytest.param("ServerDies", 1, marks=more)])
def test_data_are_fetched(kind: str, deaths: int, on_nodes: Any, data: Path, tmp_path: Path):
    """The other node does not have the data: it gets them from the server's, also if the server dies meanwhile."""
    found, used = on_nodes(kind, 2, 2)
    assert "error" not in found, found
    assert used == 1 + deaths
    assert found["result"]["server_deaths"] == deaths
    assert found["result"]["workers_lost"]["rejected"] == 0
    assert len([units for units in found["result"]["answered"].values() if units]) == 2
    (copy,) = (path for path in (tmp_path / "marks" / "cache").iterdir() if path.is_dir())
    assert Dataset(copy, verify=True).manifest == Dataset(data / "train").manifest
    assert found["result"]["weights_sha256"] == alone(data, tmp_path / "alone", CONFIG)["weights_sha256"]


@pytest.mark.chaos
def test_all_are_rejected(on_nodes: Any):
    found, _ = on_nodes("NoDataAnywhere", 2, 2)
    kind, message = found["error"]
    assert kind == "DatasetError"
    assert "no dataset" in message


@pytest.mark.chaos
def test_more_workers_than_cpus(on_nodes: Any):
    """4 on 3 nodes with 1 CPU each."""
    found, _ = on_nodes("WorkerActor", 3, 4)
    assert "error" not in found, found
    assert found["lost"] == []
    assert len(found["result"]["answered"]) == 4
