"""How fast `python -m ddmlp.serve` answers."""

import base64
import http.client
import io
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from importlib.util import find_spec
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ddmlp.errors import TrainingError
from ddmlp.nn.weights import Weights
from ddmlp.runs.arrays import save_arrays, weight_arrays
from tools.benchmarks.benchmark import Benchmark, Cases, Settings, per_second
from tools.benchmarks.peers.baseline import Rows, one_blas_thread
from tools.benchmarks.processes import start
from tools.benchmarks.recognition import BOUND, OURS, products

HIDDEN, BATCH, CLIENTS = 300, 100, 8


class Request(NamedTuple):
    """A body, its media type, and how many images it has."""

    body: bytes
    kind: str
    images: int


def requests(rows: Rows) -> dict[str, Request]:
    """One of each kind, of real digits of 28 x 28 pixels; a PNG as a page would send it, 280 x 280, dark on light."""
    digits = rows.first(BATCH).pixels.reshape(-1, 28, 28)
    pictures = []
    for digit in digits:
        Image.fromarray(255 - digit.repeat(10, 0).repeat(10, 1)).save(file := io.BytesIO(), "PNG")
        pictures.append(file.getvalue())
    encoded = [base64.b64encode(picture).decode() for picture in pictures]
    numbers, many, pngs = (json.dumps(body).encode() for body in (digits[0].tolist(), digits.tolist(), encoded))
    return {
        "numbers": Request(numbers, "application/json", 1),
        f"{BATCH} times numbers": Request(many, "application/json", BATCH),
        f"{BATCH} PNGs": Request(pngs, "application/json", BATCH),
        "PNG": Request(pictures[0], "image/png", 1),
    }


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
    found: list[float] = []
    with closing(http.client.HTTPConnection(address)) as connection:

        def ask() -> None:
            began = time.perf_counter()
            connection.request("POST", "/predict", request.body, {"Content-Type": request.kind})
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise TrainingError(f"the server answered with {response.status}, expected 200")
            found.append(time.perf_counter() - began)

        per_second(ask, seconds)
    return found[1:]


def ours(address: str, request: Request, seconds: float) -> dict[str, float]:
    """Latencies of a client that is alone, and requests a second of CLIENTS at once, each waiting for its answer."""
    median, late = np.percentile(client(address, request, seconds), [50, 99]).tolist()
    with ThreadPoolExecutor(CLIENTS) as pool:
        count = sum(map(len, pool.map(partial(client, address, request), [seconds] * CLIENTS)))
    many = {f"requests/s, {CLIENTS} clients": count / seconds}
    return {"ms, median": 1000 * median, "ms, 99th percentile": 1000 * late, **many}


def alone(weights: Weights, pixels: NDArray[np.uint8], seconds: float) -> dict[str, float]:
    """Milliseconds of the products of a request's images."""
    return {"ms, median": 1000 / per_second(products(weights, pixels), seconds)}


def cases(settings: Settings) -> Cases:
    one_blas_thread()
    rows = Rows.load(settings.data / "test")
    weights = Weights.draw(rows.shape(HIDDEN), seed=0)
    if find_spec("uvicorn") is None:
        yield from ((kind, {OURS: None}) for kind in requests(rows))
        return
    with server(settings, weights) as address:
        for kind, request in requests(rows).items():
            bound = partial(alone, weights, rows.first(request.images).pixels, settings.seconds)
            yield kind, {OURS: partial(ours, address, request, settings.seconds), BOUND: bound}


BENCHMARK = Benchmark("serving", cases, of=BOUND)
