"""tools/fetch_mnist.py is the command fetch; offline it fails, so that `make train` goes on with the sample."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from ddmlp.cli import fetch
from tools import fetch_mnist

ROOT = Path(__file__).parents[2]


def test_offline_it_fails(tmp_path):
    assert fetch_mnist.main is fetch.main
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: a connection is refused
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
    assert line.startswith(f"error: {url}train-images-idx3-ubyte.gz: no connection ([Errno ")
