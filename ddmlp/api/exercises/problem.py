"""The small data and runs of the exercises. All come from the counter-based generator."""

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
EVERY = 5  # steps between the checkpoints of the broken run
BROKEN_AFTER = 20  # its step after which a weight is changed


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
    """Write all that the exercises need into a new folder: data/, row.npz and the run broken/. Raises ConfigError."""
    if folder.exists():
        raise ConfigError(f"{folder} exists already; name a new folder")
    write_data(folder / "data")
    pixels, _ = rows("train")
    np.savez(folder / "row.npz", w1=weights().w1, w2=weights().w2, pixels=pixels[0].reshape(-1))
    write_broken(folder / "data", folder / "broken")


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
