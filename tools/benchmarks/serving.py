"""The chapter on serving: requests beside the matrix products of what they ask for."""

import base64
import http.client
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from ddmlp.data.dataset import Dataset
from ddmlp.nn.weights import Shape, Weights
from ddmlp.numerics import pin
from ddmlp.runs.checkpoint import save_arrays
from tools.benchmarks.chapter import Chapter, Found, Setting, installed, interleaved
from tools.benchmarks.markdown import spread, table
from tools.benchmarks.processes import start
from tools.benchmarks.recognition import Work, products, some, speed

HIDDEN, BATCH = 300, 100
CLIENTS = 8
KINDS = {"numbers": 1, "PNG": 1, "a batch of numbers": BATCH, "a batch of PNGs": BATCH}  # to images in a request
BEST, LATE, MANY = "latency, median, ms", "latency, 99th percentile, ms", "requests/s"


class Request(NamedTuple):
    """A body and its media type."""

    body: bytes
    kind: str


def requests(data: Dataset) -> dict[str, Request]:
    """One of each of KINDS, of real digits."""
    pixels, _ = some(data, BATCH)
    digits = pixels.reshape(-1, *data.manifest.image_shape)
    pictures = [png(digit) for digit in digits]
    bodies = {
        "numbers": digits[0].tolist(),
        "a batch of numbers": digits.tolist(),
        "a batch of PNGs": [base64.b64encode(picture).decode() for picture in pictures],
    }
    found = {name: Request(json.dumps(body).encode(), "application/json") for name, body in bodies.items()}
    return {**found, "PNG": Request(pictures[0], "image/png")}


def png(digit: np.ndarray) -> bytes:
    """As a page would send it: ten times as large, dark on light."""
    file = io.BytesIO()
    Image.fromarray(255 - digit.repeat(10, 0).repeat(10, 1)).save(file, "PNG")
    return file.getvalue()


@contextmanager
def serving(setting: Setting, data: Dataset) -> Iterator[tuple[str, int]]:
    """The address of a server in a process of its own."""
    path = setting.scratch / "model.npz"
    save_arrays(path, Weights.draw(Shape(data.manifest.pixels, HIDDEN, data.manifest.classes), seed=0))
    process = start("-m", "ddmlp.serve", "--model", path, "--port", "0")
    try:
        assert process.stdout is not None
        address = urlsplit(process.stdout.readline().split()[0])
        yield address.hostname or "", address.port or 0
    finally:
        process.terminate()
        process.communicate()


def client(address: tuple[str, int], request: Request, seconds: float) -> list[float]:
    """The seconds of each of its requests, one after another on one connection, after one that is not counted."""
    connection, until = http.client.HTTPConnection(*address), float("inf")
    found: list[float] = []
    while not found or time.perf_counter() < until:
        began = time.perf_counter()
        connection.request("POST", "/predict", request.body, {"Content-Type": request.kind})
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            raise RuntimeError(f"the server answered with {response.status}")
        now = time.perf_counter()
        if until < float("inf"):
            found.append(now - began)
        else:
            until = now + seconds
    connection.close()
    return found


def percentile(address: tuple[str, int], request: Request, seconds: float, share: float) -> float:
    """The latency of a client that is alone, in milliseconds."""
    return float(np.percentile(client(address, request, seconds), share)) * 1e3


def throughput(address: tuple[str, int], request: Request, seconds: float) -> float:
    """Requests a second of CLIENTS at once, each waiting for its answer."""
    counts: list[int] = []
    threads = [
        threading.Thread(target=lambda: counts.append(len(client(address, request, seconds)))) for _ in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def alone(work: Work, rows: int, seconds: float) -> float:
    """The milliseconds of the products of a request's rows."""
    return 1e3 * rows / speed(work, seconds)


def measure(setting: Setting) -> Found:
    """Of each kind: the latencies, the requests a second, and the milliseconds of its products alone."""
    pin()
    data = Dataset(setting.data / "test")
    weights = Weights.draw(Shape(data.manifest.pixels, HIDDEN, data.manifest.classes), seed=0)
    found: dict[str, dict[str, list[float] | None]] = {}
    there = installed("fastapi", "uvicorn")
    with serving(setting, data) if there else nullcontext(("", 0)) as address:
        for kind, request in requests(data).items():
            rows = KINDS[kind]
            _, x = some(data, rows)
            asked = address, request, setting.seconds
            works: dict[str, Callable[[], float] | None] = {
                BEST: partial(percentile, *asked, 50) if there else None,
                LATE: partial(percentile, *asked, 99) if there else None,
                MANY: partial(throughput, *asked) if there else None,
                "products": partial(alone, products(weights, x), rows, setting.seconds),
            }
            found[kind] = interleaved(works, setting.repeats, f"{kind}: ")
    return {"kinds": found}


def show(found: Found) -> str:
    rows = [
        (kind, str(KINDS[kind]), spread(of[BEST], ".2f"), spread(of[LATE], ".2f"), spread(of[MANY]),
         spread(of["products"], ".4f"))
        for kind, of in found["kinds"].items()
    ]  # fmt: skip
    heads = ["request", "images", BEST, LATE, f"{MANY}, {CLIENTS} clients", "products alone, ms"]
    return (
        f"`python -m ddmlp.serve` with {HIDDEN} hidden units on loopback, in a process of its own; the clients are in "
        "another, with a connection each. Latencies are those of one client that is alone. A PNG is 280 x 280 pixels, "
        "as the page sends it, and is scaled and centred. The products are x W1 and y1 W2 of as many images, in this "
        f"process: what is above them is HTTP, JSON and pictures.\n\n{table(heads, rows)}\n"
    )


CHAPTER = Chapter("serving", "Serving", measure, show)
