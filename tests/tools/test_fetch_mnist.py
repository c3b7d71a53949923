"""tools/fetch_mnist.py runs the command fetch, which fails if there is no network."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from ddmlp.cli import fetch
from tools import fetch_mnist

ROOT = Path(__file__).parents[2]


def test_offline(tmp_path):
    assert fetch_mnist.main is fetch.main
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound but not listening, so connections are refused
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        done = subprocess.run(
            [sys.executable, ROOT / "tools" / "fetch_mnist.py", tmp_path / "out", "--base-url", url],
            env={**os.environ, "no_proxy": "*"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {url}train-images-idx3-ubyte.gz: ")
    assert "(Connection refused)" in line
