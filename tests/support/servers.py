"""A real server process, and its clients."""

import http.client
import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from ddmlp.inference.model import Model
from ddmlp.nn.weights import Shape, Weights

JSON, PNG = "application/json", "image/png"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Server:
    url: str
    process: subprocess.Popen[str]

    @property
    def address(self) -> tuple[str, int]:
        found = urlsplit(self.url)
        return found.hostname, found.port

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send one request on a new connection; header names have _ instead of -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection(*self.address, timeout=60)
        try:
            connection.request(method, path, body, named)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)

    def predict(self, body: Any, kind: str = JSON, path: str = "/predict") -> Answer:
        """Post a body to /predict: bytes unchanged, anything else as JSON."""
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask("POST", path, sent, Content_Type=kind)

    @property
    def memory(self) -> int:
        """The resident memory in bytes."""
        said = subprocess.run(["ps", "-o", "rss=", "-p", str(self.process.pid)], capture_output=True, check=True)
        return int(said.stdout) * 1024


@contextmanager
def serving(*flags: object, end: int = signal.SIGTERM) -> Iterator[Server]:
    """Run `python -m ddmlp.serve` on a free port. The signal `end` must end it with status 0 and without output."""
    # The server would announce that it compiles this kernel; those of the training are compiled.
    Model(Weights(Shape(1, 1, 1)), (1, 1)).explain(np.zeros((1, 1, 1), np.uint8))
    words = [sys.executable, "-m", "ddmlp.serve", "--port", "0", *map(str, flags)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        assert line.startswith("http://"), process.communicate(timeout=60)
        yield Server(line.split()[0], process)
        process.send_signal(end)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "", "")
    finally:
        process.kill()
        process.communicate()


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
