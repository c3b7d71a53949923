"""The application on Ray Serve, as configured in cluster/serve.yaml."""

import http.client
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ddmlp.inference.committee import load_models
from ddmlp.inference.saved_model import load_model
from ddmlp.ray_backend.cluster import Cluster
from ddmlp.serving.security import POLICY
from tests.support.servers import Server

ROOT = Path(__file__).parents[2]
REPLICAS = 2
COMMITTEE = "/committee"  # where another application is
ONE = [[255 if 4 <= row < 24 and 13 <= column < 15 else 0 for column in range(28)] for row in range(28)]

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture(scope="module")
def server(trained: Path, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Replicas in the session's Ray, behind a free port. Ray Serve emits warnings, so it has its own process."""
    import yaml  # comes with Ray

    config = yaml.safe_load((ROOT / "cluster" / "serve.yaml").read_text())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config["http_options"]["port"] = port
    single, args = config["applications"][0], {"model": str(trained), "replicas": REPLICAS, "cpus": 0.1}
    committee = {"model": [str(trained), str(trained)], "cpus": 0.1}
    config["applications"] = [
        single | {"args": args},
        single | {"args": committee, "name": "committee", "route_prefix": COMMITTEE},
    ]
    path = tmp_path_factory.mktemp("serve") / "serve.yaml"
    path.write_text(yaml.safe_dump(config))
    words = [Path(sys.executable).with_name("serve"), "run", "--address", cluster.address, path]
    log = path.with_suffix(".log")
    with log.open("w") as said:
        process = subprocess.Popen([*map(str, words)], cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)
    found = Server(f"http://127.0.0.1:{port}/", process)
    try:
        while not (answers(found, "/about") and answers(found, f"{COMMITTEE}/about")):
            with suppress(subprocess.TimeoutExpired):
                pytest.fail(f"it ended with {process.wait(0.2)}: {log.read_text()}")
        yield found
    finally:
        end(process, cluster)


def end(process: subprocess.Popen[bytes], cluster: Cluster) -> None:
    """End Ray Serve. On a busy machine, Serve of Ray 2.60 may hang at Ctrl-C; then its actors are killed."""
    process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(20)
        return
    process.kill()
    process.wait()
    left = [each["name"] for each in cluster.ray.util.list_named_actors(all_namespaces=True)]
    for name in sorted(left, key=lambda name: "CONTROLLER" not in name):  # the controller first: it starts the others
        with suppress(ValueError):
            cluster.ray.kill(cluster.ray.get_actor(name, namespace="serve"))


def answers(server: Server, path: str) -> bool:
    with suppress(OSError, http.client.HTTPException):
        return server.get(path).status == 200
    return False


def test_simple(server, trained):
    for _ in range(5 * REPLICAS):
        found = server.predict(ONE)
        assert found.status == 200
        assert found.json["class"] == 1
        assert found.json["model"]["weights_sha256"] == load_model(trained).weights.sha256()


def test_committee(server, trained):
    found = server.predict(ONE, path=f"{COMMITTEE}/predict")
    assert (found.status, found.json["class"]) == (200, 1)
    assert found.json["model"]["weights_sha256"] == load_models([trained, trained]).weights_sha256
    assert server.get(f"{COMMITTEE}/about").json["name"] == f"{trained}, {trained}"


def test_errors_and_pages(server):
    found = server.predict(7)
    assert (found.status, found.json.keys()) == (422, {"error"})
    assert server.predict(bytes(5 << 20), "image/png").status == 413
    for path in ("/", "/docs", "/pages/page.js", "/openapi.json", "/about"):
        found = server.get(path)
        assert (found.status, found.headers["content-security-policy"]) == (200, POLICY)
