"""Latency and throughput of `python -m ddmlp.serve`."""

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
    """A request body, its media type, and its number of images."""

    body: bytes
    kind: str
    images: int


def requests(rows: Rows) -> dict[str, Request]:
    """Return one request of each kind with real digits, 28 x 28 pixels; PNGs as the page sends them, 280 x 280."""
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
    """Start a server in another process; yield its address."""
    save_arrays(path := settings.scratch / "model.npz", weight_arrays(weights))
    process = start("-m", "ddmlp.serve", "--model", path, "--port", "0")
    try:
        assert process.stdout is not None
        yield urlsplit(process.stdout.readline().split()[0]).netloc
    finally:
        process.terminate()
        process.communicate()


def client(address: str, request: Request, seconds: float) -> list[float]:
    """Send requests sequentially on one connection; return the seconds of each, without the first."""
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


def latencies(address: str, request: Request, seconds: float) -> dict[str, float]:
    """Return the latencies of a single client, and the requests/s of CLIENTS concurrent clients."""
    median, high = np.percentile(client(address, request, seconds), [50, 99]).tolist()
    with ThreadPoolExecutor(CLIENTS) as pool:
        count = sum(map(len, pool.map(partial(client, address, request), [seconds] * CLIENTS)))
    many = {f"requests/s, {CLIENTS} clients": count / seconds}
    return {"ms, median": 1000 * median, "ms, 99th percentile": 1000 * high, **many}


def products_latency(weights: Weights, pixels: NDArray[np.uint8], seconds: float) -> dict[str, float]:
    """Return the milliseconds of the matrix products for a request's images."""
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
            bound = partial(products_latency, weights, rows.first(request.images).pixels, settings.seconds)
            yield kind, {OURS: partial(latencies, address, request, settings.seconds), BOUND: bound}


BENCHMARK = Benchmark("serving", cases, of=BOUND)
