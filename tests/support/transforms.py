"""Transforms for tests, and jobs with them."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ddmlp.config import TrainConfig
from ddmlp.data.transform import Transform
from ddmlp.numerics import row_bits
from ddmlp.training.job import Job
from tests.support import runs


def by_row(pixels, rows, *_):
    """Turn each line of pixels by a number that depends on the row alone."""
    return np.array([np.roll(image, row % 5, axis=1) for image, row in zip(pixels, rows.tolist(), strict=True)])


def drawn(pixels, rows, seed, epoch):
    """Add a number that depends on everything."""
    return pixels ^ (row_bits(rows, seed, epoch) % 64).astype(np.uint8)[:, None, None]


def failing(pixels, rows, _, epoch):
    """Fail at row 17, in the second epoch alone."""
    if epoch and 17 in rows:
        raise LookupError("there is no 17")
    return pixels


def wrong(pixels, _, __, epoch):
    return pixels.astype(float) if epoch else pixels


def exiting(pixels, rows, _, epoch):
    if epoch and 17 in rows:
        raise SystemExit(3)
    return pixels


def elsewhere(pixels, *_):
    """Differ between processes, if they have this variable."""
    return pixels ^ np.uint8(len(os.environ.get("DDMLP_TEST_ELSEWHERE", "")))


def of(name: str) -> Transform:
    return Transform.of(f"{__name__}:{name}")


def config(name: str, given: TrainConfig = runs.CONFIG) -> TrainConfig:
    return replace(given, transform_sha256=of(name).sha256)


def job(name: str, data: Path, run: Path, workers: int, given: TrainConfig = runs.CONFIG, **more: Any) -> Job:
    return runs.job(data, run, workers, config(name, given), transform=of(name), **more)
