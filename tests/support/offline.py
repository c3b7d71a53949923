"""Programs that log to other tools, in a process of their own, with a watch for what they send."""

import json
import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import ddmlp

FIT = """
import json, os, sys
import numpy as np
import ddmlp
images = np.arange(40 * 4, dtype=np.uint8).reshape(40, 2, 2)
labels = np.arange(40, dtype=np.uint8) % 2
data = {"test": (images, labels), "run": "one", "hidden": 3, "epochs": 2, "progress": False}
"""


def run_offline(script: str, folder: Path) -> dict[str, Any]:
    """What `script`, which comes after FIT, prints as JSON in its last line.

    Fails if it or a child of it connects to the network: a proxy takes it, and never answers.
    """
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        ours = {
            name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "WANDB_", "PYTEST_"))
        }
        ours |= {"PYTHONPATH": str(Path(ddmlp.__file__).parents[1]), "NO_PROXY": "", "no_proxy": ""}
        ours |= dict.fromkeys(["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"], address)
        command = [sys.executable, "-c", FIT + script]
        done = subprocess.run(command, cwd=folder, env=ours, capture_output=True, text=True, timeout=100)
        proxy.setblocking(False)
        with suppress(BlockingIOError), proxy.accept()[0] as connection:
            raise AssertionError(f"sent to the network: {connection.recv(100)!r}")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
