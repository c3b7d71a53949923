"""Training on rows in a store, compared with training on shards on this machine."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from pkgutil import resolve_name
from unittest import mock
from urllib.request import Request, urlopen

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ddmlp.data.dataset import Dataset
from tools.benchmarks.benchmark import Benchmark, Cases, Measure, Settings, Target
from tools.benchmarks.processes import length, train
from tools.benchmarks.record import Entry

LOCAL, PARQUET, SHARDS = "shards on this machine", "Parquet on S3", "the same shards on S3"
HIDDEN, BATCH = 256, 64
LONGER = 3  # times settings.seconds, because the training alone is compared, too
COMMAND = "seconds of the command"
LEAST = 0.9


def training(data: str | Path, **settings: object) -> dict[str, float]:
    """Return the speed of the training, without what comes before, and the duration of the whole command."""
    start = time.perf_counter()
    result = train(data, **settings)
    return {"rows/s": result["rows_per_second"], COMMAND: time.perf_counter() - start}


def parquet(path: Path) -> bytes:
    """Return a dataset as a Parquet file, with a list of pixels for each row."""
    pixels, labels = (dataset := Dataset(path)).gather(np.arange(len(dataset)))
    lists = pa.FixedSizeListArray.from_arrays(pixels.ravel(), pixels.shape[1])
    out = BytesIO()
    pq.write_table(pa.table({"pixels": lists, "label": labels}), out)
    return out.getvalue()


@contextmanager
def bucket(data: Path) -> Iterator[bool]:
    """Run an S3 server, as the tests do, with the datasets of `data` in a bucket; yields whether this is possible."""
    try:
        server, settings = (resolve_name(f"tests.support.s3:{name}") for name in ("s3_server", "ENVIRONMENT"))
        resolve_name("moto.server")
    except ImportError:
        yield False
        return
    with server() as address:
        for part in ("train", "test"):
            put(address, f"parquet/{part}.parquet", parquet(data / part))
            for path in filter(Path.is_file, (data / part).iterdir()):
                put(address, f"shards/{part}/{path.name}", path.read_bytes())
        with mock.patch.dict(os.environ, {**settings, "AWS_ENDPOINT_URL": f"http://{address}"}):
            yield True


def put(address: str, name: str, content: bytes) -> None:
    kind = {"Content-Type": "application/octet-stream"}  # else the server reads the content as that of a form
    urlopen(Request(f"http://{address}/bucket/{name}", content, kind, method="PUT"), timeout=60).close()


def cases(settings: Settings) -> Cases:
    places: dict[str, str | Path] = {PARQUET: "s3://bucket/parquet", SHARDS: "s3://bucket/shards"}
    flags = length(settings.data, HIDDEN, BATCH, LONGER * settings.seconds)
    with bucket(settings.data) as there:
        found: dict[str, Measure | None] = {LOCAL: partial(training, settings.data, **flags)}
        for name, place in places.items():
            found[name] = partial(training, place, **flags) if there else None
        yield "", found


def targets(entry: Entry) -> list[Target]:
    return [Target(f"rows/s, {name} to {LOCAL}", entry.ratio("", name, LOCAL), LEAST) for name in (PARQUET, SHARDS)]


BENCHMARK = Benchmark("stores", cases, targets, of=LOCAL)
