"""`python -m ddmlp.serve` with 300 hidden units on loopback, in a process of its own; the clients are in another, with
a connection each. Latencies are those of one client that is alone. A PNG is 280 x 280 pixels, as the page sends it, and
is scaled and centred. The products are x W1 and y1 W2 of as many images, in the clients' process: what is above them is
HTTP, JSON and pictures.
"""

import base64
import http.client
import io
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from ddmlp.errors import TrainingError
from ddmlp.nn.weights import Weights
from ddmlp.numerics import pin
from ddmlp.runs.arrays import save_arrays, weight_arrays
from tools.benchmarks.benchmark import Benchmark, Cases, Settings, installed, per_second
from tools.benchmarks.peers.baseline import Rows
from tools.benchmarks.processes import start
from tools.benchmarks.recognition import BOUND, OURS, Work, products

HIDDEN, BATCH, CLIENTS = 300, 100, 8


class Request(NamedTuple):
    """A body, its media type, and how many images it has."""

    body: bytes
    kind: str
    images: int


def requests(rows: Rows) -> dict[str, Request]:
    """One of each kind, of real digits of 28 x 28 pixels."""
    digits = rows.first(BATCH).pixels.reshape(-1, 28, 28)
    pictures = [png(digit) for digit in digits]
    bodies: dict[str, tuple[Any, int]] = {
        "numbers": (digits[0].tolist(), 1),
        f"{BATCH} times numbers": (digits.tolist(), BATCH),
        f"{BATCH} PNGs": ([base64.b64encode(picture).decode() for picture in pictures], BATCH),
    }
    found = {name: Request(json.dumps(body).encode(), "application/json", n) for name, (body, n) in bodies.items()}
    return {**found, "PNG": Request(pictures[0], "image/png", 1)}


def png(digit: np.ndarray) -> bytes:
    """As a page would send it: ten times as large, dark on light."""
    file = io.BytesIO()
    Image.fromarray(255 - digit.repeat(10, 0).repeat(10, 1)).save(file, "PNG")
    return file.getvalue()


@contextmanager
def server(settings: Settings, weights: Weights) -> Iterator[str]:
    """The address of a server in a process of its own."""
    save_arrays(path := settings.scratch / "model.npz", weight_arrays(weights))
    process = start("-m", "ddmlp.serve", "--model", path, "--port", "0")
    try:
        assert process.stdout is not None
        yield urlsplit(process.stdout.readline().split()[0]).netloc
    finally:
        process.terminate()
        process.communicate()


def client(address: str, request: Request, seconds: float) -> list[float]:
    """The seconds of each of its requests, one after another on one connection, after one that is not counted."""
    with closing(http.client.HTTPConnection(address)) as connection:

        def ask() -> float:
            began = time.perf_counter()
            connection.request("POST", "/predict", request.body, {"Content-Type": request.kind})
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise TrainingError(f"the server answered with {response.status}, expected 200")
            return time.perf_counter() - began

        ask()
        until, found = time.perf_counter() + seconds, [ask()]
        while time.perf_counter() < until:
            found.append(ask())
        return found


def ours(address: str, request: Request, seconds: float) -> dict[str, float]:
    """Latencies of a client that is alone, and requests a second of CLIENTS at once, each waiting for its answer."""
    median, late = np.percentile(client(address, request, seconds), [50, 99]).tolist()
    with ThreadPoolExecutor(CLIENTS) as pool:
        count = sum(map(len, pool.map(partial(client, address, request), [seconds] * CLIENTS)))
    many = {f"requests/s, {CLIENTS} clients": count / seconds}
    return {"ms, median": 1000 * median, "ms, 99th percentile": 1000 * late, **many}


def alone(work: Work, images: int, seconds: float) -> dict[str, float]:
    """Milliseconds of the products of a request's images."""
    return {"ms, median": 1000 * images / per_second(work, seconds)}


def cases(settings: Settings) -> Cases:
    pin()
    rows = Rows.load(settings.data / "test")
    weights = Weights.draw(rows.shape(HIDDEN), seed=0)
    if not installed("fastapi", "uvicorn"):
        yield from ((kind, {OURS: None}) for kind in requests(rows))
        return
    with server(settings, weights) as address:
        for kind, request in requests(rows).items():
            bound = products(weights, rows.first(request.images).scaled())
            yield (
                kind,
                {
                    OURS: partial(ours, address, request, settings.seconds),
                    BOUND: partial(alone, bound, request.images, settings.seconds),
                },
            )


BENCHMARK = Benchmark("serving", "Serving", __doc__, cases, of=BOUND)
