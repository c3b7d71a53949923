"""The command serve: its flags, and that it ends."""

import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from unittest import mock

import pytest

from ddmlp.cli import serve
from tests.support.helpers import inside
from tests.support.servers import serving

HELP = """import sys
from ddmlp.cli import report, serve
for command in report, serve:
    try:
        command.parse(["--help"])
    except SystemExit:
        pass
print(*{"numpy", "fastapi", "jinja2", "matplotlib", "PIL", "pydantic"} & sys.modules.keys(), file=sys.stderr)
"""


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_simple(trained, number):
    with ExitStack() as stack, serving("--model", trained, end=number) as server:
        stack.enter_context(socket.create_connection(server.address, timeout=60))  # it does not delay the end
        assert server.get("/about").status == 200


def test_end_right_after_the_start(trained):
    with serving("--model", trained):
        pass


def complaint(*flags: object) -> tuple[int, str]:
    done = inside(serve.main, *flags)
    assert done.stdout == ""
    assert re.fullmatch(r"error: .+\n", done.stderr)
    return done.returncode, done.stderr.removeprefix("error: ").strip()


def test_port_in_use(trained):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, said = complaint("--model", trained, "--port", port)
    assert status == 2
    assert "127.0.0.1" in said
    assert f"{port}: Address already in use" in said
    assert "--port" in said


def test_bad_flags(trained, tmp_path):
    status, said = complaint("--model", trained, "--port", 70_000)
    assert (status, "70000" in said) == (2, True)
    status, said = complaint("--model", trained, "--host", "no.such.host.invalid")
    assert (status, "no.such.host.invalid, port 8000: " in said) == (2, True)
    assert "none.npz" in complaint("--model", tmp_path / "none.npz")[1]
    status, said = complaint("--run", trained / "config.json")
    assert (status, "config.json, expected the folder" in said) == (2, True)
    assert complaint()[0] == complaint("--model", trained, "--run", trained)[0] == 2


def test_missing_package(trained):
    with mock.patch.dict(sys.modules, {"uvicorn": None}):
        status, said = complaint("--model", trained)
    assert status == 2
    assert "uvicorn" in said
    assert "'ddmlp[serve]'" in said


def test_help_imports_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True)
    assert "--port" in done.stdout
    assert done.stderr.strip() == ""


def test_no_delay():
    with serve.open_listener("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
