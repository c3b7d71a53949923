"""Streams of brokers whose processes, and those of the run, are killed while the rows flow."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

import ddmlp
from ddmlp.data.dataset import Dataset
from ddmlp.data.writer import DatasetWriter
from tests.support.broker import images
from tests.support.brokers import SERVERS, running
from tests.support.followed import BATCH, FLAGS
from tests.support.killed_streams import train_killed
from tests.support.runs import Row

ROWS, KILLS = 60_000, 20
SETTINGS = {"hidden": 20, "batch": BATCH, "microbatch": 32, "follow": True}  # those of FLAGS


def sources(data: Path, folder: Path, seed: int, rows: int = ROWS, kills: int = KILLS) -> Iterator[Row]:
    """Kill each broker, and a run on its stream; each row must be on disk once, and the weights those from a file."""
    train = Dataset(data / "train")
    numbers = np.arange(rows) % len(train)
    flat, labels = train.gather(numbers)
    pixels = flat.reshape(rows, *train.manifest.image_shape)
    with DatasetWriter(folder / "file" / "train", train.manifest.image_shape, 10) as writer:
        writer.append(pixels, labels)
        writer.end()
    expected = ddmlp.fit(folder / "file", run=folder / "expected", progress=False, **SETTINGS).weights_sha256
    for kind in SERVERS:
        (folder / kind).mkdir()
        run, victims = folder / f"{kind}-run", ["broker", "run"] * kills
        seconds = 120 + 15 * len(victims) + rows / 100
        with running(kind, folder / kind) as server:
            found = train_killed(server, "digits", images(pixels, labels), run, victims, FLAGS, seed, seconds)
        stored = Dataset(run / "data" / "train", verify=True)
        once = len(stored) == rows and np.array_equal(stored.gather(np.arange(rows))[0], flat)
        fine = bool(found["weights_sha256"] == expected and once)
        fired = f"{len(victims)} of {len(victims)}"  # else `train_killed` raises an error
        yield Row(f"{kind} and a run on its stream killed", f"{kills} times each, {rows:,} rows", "0", fired, fine)
