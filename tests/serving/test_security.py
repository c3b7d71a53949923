"""Security headers, and the host names that the server answers to."""

import pytest

from ddmlp.serving.security import POLICY
from tests.support.servers import serving


def test_simple(server):
    for path, status in [("/", 200), ("/pages/page.js", 200), ("/about", 200), ("/nowhere", 404), ("/predict", 405)]:
        found = server.get(path)
        assert found.status == status
        assert found.headers["content-security-policy"] == POLICY
        assert found.headers["x-content-type-options"] == "nosniff"
        assert "server" not in found.headers
    assert "unsafe" not in POLICY


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("127.0.0.1:1", 200), ("[::1]:8000", 200), ("evil.example", 421), ("", 421), ("[", 421)],
)
def test_hosts(server, host, status):
    found = server.ask("GET", "/about", Host=host)
    assert found.status == status
    if host == "evil.example":
        assert host in found.json["error"]
        assert "localhost" in found.json["error"]
        assert "--allow-host" in found.json["error"]


@pytest.mark.slow
def test_any_host(trained):
    with serving("--model", trained, "--host", "0.0.0.0") as server:
        assert server.ask("GET", "/about", Host="digits.example").status == 200


@pytest.mark.slow
def test_allowed_host(trained):
    with serving("--model", trained, "--allow-host", "Digits.example") as server:
        statuses = [
            server.ask("GET", "/about", Host=host).status for host in ("digits.example", "localhost", "a.example")
        ]
    assert statuses == [200, 200, 421]
