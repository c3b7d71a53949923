"""The small data and runs of the exercises. All come from the counter-based generator."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddmlp.errors import ConfigError
from ddmlp.nn.weights import Shape, Weights
from ddmlp.numerics import PROBE, random_bits, uniform

SIDE, CLASSES, HIDDEN = 6, 4, 8
ROWS = {"train": 320, "test": 160}
SETTINGS: dict[str, Any] = {"hidden": HIDDEN, "batch": 32, "microbatch": 4, "lr": 2.0, "epochs": 4, "seed": 27}
STEPS = SETTINGS["epochs"] * ROWS["train"] // SETTINGS["batch"]
KILLED = SETTINGS | {"epochs": 2000}  # of the run that is killed: some seconds, most of them for its checkpoints
EVERY = 5  # steps between the checkpoints of the runs broken/ and asynchronous/
BROKEN_AFTER = 20  # the step after which a weight of broken/ is changed
CHANGED_UPDATE = 32  # the update of asynchronous/ that is changed in its log, by its place from 0
WORKERS = 3  # that could have made the updates of asynchronous/


def rows(part: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The images (B, 6, 6) and labels (B,), uint8, of a part: noisy copies of one image for each class."""
    index, count = list(ROWS).index(part), ROWS[part]
    inks = uniform(random_bits(27, PROBE, CLASSES * SIDE * SIDE, part=9), 0, 256).astype(np.uint8)
    noise = uniform(random_bits(27, PROBE, 2 * count * SIDE * SIDE, index=index), 0, 1).reshape(2, count, SIDE, SIDE)
    labels = np.arange(count, dtype=np.uint8) % CLASSES
    clean = inks.reshape(CLASSES, SIDE, SIDE)[labels]
    return np.where(noise[0] < 0.6, clean, (noise[1] * 256).astype(np.uint8)), labels


def weights() -> Weights:
    """The weights of the exercise on one row: 36-8-4."""
    return Weights.draw(Shape(SIDE * SIDE, HIDDEN, CLASSES), seed=27)


def write_data(folder: Path) -> None:
    """Write the datasets folder/train and folder/test."""
    from ddmlp.data.writer import DatasetWriter

    for part in ROWS:
        with DatasetWriter(folder / part, (SIDE, SIDE), CLASSES) as writer:
            writer.append(*rows(part))


def write_problem(folder: Path) -> None:
    """Write all that the exercises need into a new folder: data/, row.npz, and the runs broken/ and asynchronous/.

    Raises ConfigError if the folder exists.
    """
    if folder.exists():
        raise ConfigError(f"{folder} exists already; name a new folder")
    write_data(folder / "data")
    pixels, _ = rows("train")
    np.savez(folder / "row.npz", w1=weights().w1, w2=weights().w2, pixels=pixels[0].reshape(-1))
    write_broken(folder / "data", folder / "broken")
    write_asynchronous(folder / "data", folder / "asynchronous")


def write_broken(data: Path, run: Path) -> None:
    """Train a run, but change the lowest bit of one weight on the way, as a defective memory would."""
    from ddmlp.api.fit import fit
    from ddmlp.api.resume import resume
    from ddmlp.runs.checkpoint import save_checkpoint
    from ddmlp.runs.run import Run

    fit(data, run=run, checkpoint_every=EVERY, stop_after=BROKEN_AFTER, progress=False, **SETTINGS)
    checkpoints = Run(run).checkpoints
    found, _ = checkpoints.newest()
    if found is None or found.step != BROKEN_AFTER:
        raise ConfigError(f"{run} has no checkpoint of step {BROKEN_AFTER}; remove it, and try again")
    changed = Weights.of(found.weights.parameters)
    changed.w1[14, 3] = np.nextafter(changed.w1[14, 3], np.float32(np.inf))
    save_checkpoint(checkpoints.path(found.step), replace(found, weights=changed))
    resume(run, checkpoint_every=EVERY, progress=False)


def updates() -> NDArray[np.int64]:
    """The order of updates (STEPS, 2) of asynchronous/: each step, and the version of the weights that it read.

    Workers answer in a random order. Before each checkpoint, all open steps are completed.
    """
    draws = random_bits(27, PROBE, STEPS)
    order: list[tuple[int, int]] = []
    read: dict[int, int] = {}  # by open step
    for version in range(STEPS):
        begun, checkpoint = version + len(read), version - version % EVERY + EVERY
        read |= dict.fromkeys(range(begun, min(checkpoint, version + WORKERS)), version)
        step = sorted(read)[int(draws[version] % len(read))]
        order.append((step, read.pop(step)))
    return np.array(order)


def write_asynchronous(data: Path, run: Path) -> None:
    """Train a run in this order of updates, then change a byte of its update log: one update reads another version."""
    from ddmlp.api.options import Options
    from ddmlp.api.trainer import prepare_job
    from ddmlp.config import TrainConfig
    from ddmlp.runs.run import Run
    from ddmlp.training.setup import build_trainer

    config = TrainConfig(**SETTINGS, staleness=EVERY - 1)
    with Run(run) as found:
        job, origin = prepare_job(config, data, found, Options(checkpoint_every=EVERY))
        found.create(origin)
        result = None
        with closing(build_trainer(job, updates=updates())) as trainer:
            while result is None:
                report = trainer.advance(1)
                found.record(report.events)
                result = report.result
        found.write_result(result)
    lines = found.updates.read_text().splitlines(keepends=True)
    line = bytearray(lines[CHANGED_UPDATE], "ascii")
    line[-2] ^= 1  # the last digit
    lines[CHANGED_UPDATE] = line.decode()
    found.updates.write_text("".join(lines))
