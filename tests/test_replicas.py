"""The application on Ray Serve."""

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray import serve

from ddmlp.guard import POLICY
from ddmlp.model import load_model
from ddmlp.replicas import Settings, app
from tests.serving import JSON


@pytest.fixture(scope="module")
def address(trained: Path, cluster: object) -> Iterator[tuple[str, int]]:
    """Two replicas in the session's Ray, behind a port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        host, port = free.getsockname()
    serve.start(http_options={"host": host, "port": port})
    serve.run(app(Settings(model=trained, replicas=2, cpus=0.1)))
    yield host, port
    serve.shutdown()


def ask(address: tuple[str, int], method: str, path: str, body: object = None) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(*address, timeout=60)
    connection.request(method, path, body and json.dumps(body), {"Content-Type": JSON})
    response = connection.getresponse()
    found = response.read()
    connection.close()
    return response, found


def test_simple(address, trained):
    drawn = [[0] * 28 for _ in range(28)]
    for row in drawn[4:24]:
        row[13:15] = 255, 255
    digests = set()
    for _ in range(10):
        response, found = ask(address, "POST", "/predict", drawn)
        assert response.status == 200
        answer = json.loads(found)
        assert answer["class"] == 1
        digests.add(answer["model"]["weights_sha256"])
    assert digests == {load_model(trained).weights.sha256()}


def test_what_is_refused_and_what_is_shown_is_the_same(address):
    response, found = ask(address, "POST", "/predict", 7)
    assert (response.status, json.loads(found).keys()) == (422, {"error"})
    for path in ("/", "/docs", "/pages/page.js", "/openapi.json"):
        response, found = ask(address, "GET", path)
        assert response.status == 200
        assert response.headers["Content-Security-Policy"] == POLICY
        assert found
