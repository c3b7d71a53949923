"""Compares settings on rows that are held out of the training data, so that the test data choose nothing."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

import numpy as np

from ddmlp.data.dataset import Dataset
from ddmlp.data.manifest import NAME, Manifest
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import ConfigError
from ddmlp.runs.run import Run
from tools.record.seeds import Seed

FOLDER = "validation"
CHUNK = 1_000  # rows, read and written at a time
SHOWN = ("augment", "hidden", "batch", "lr", "lr_end", "epochs")  # the settings that tell one line from another


class Line(NamedTuple):
    """The errors of all seeds with the same settings, as fractions."""

    settings: dict[str, Any]
    errors: list[float]

    @property
    def deviation(self) -> float:
        """The standard deviation; 0 of a single seed."""
        return stdev(self.errors) if self.errors[1:] else 0.0

    @property
    def mean(self) -> float:
        return mean(self.errors)


def split(data: Path, runs: Path, rows: int) -> Path:
    """Write the folder with train/, which is `data`/train without its last rows, and test/, which is these.

    It is in `runs`, and is kept if it is there. Raises ConfigError if not enough rows are left.
    """
    manifest = Manifest.read(data / "train")
    if not 0 < rows < manifest.rows:
        raise ConfigError(f"the rows to hold out are {rows}, expected 1 to {manifest.rows - 1} of {data / 'train'}")
    out, border = runs / FOLDER / f"data-{manifest.sha256()[:16]}-{rows}", manifest.rows - rows
    dataset = Dataset(data / "train")
    for part, begin, end in (("train", 0, border), ("test", border, manifest.rows)):
        if not (out / part / NAME).exists():
            with DatasetWriter(
                out / part, manifest.image_shape, manifest.classes, class_names=manifest.class_names, overwrite=True
            ) as writer:
                for first in range(begin, end, CHUNK):
                    pixels, labels = dataset.gather(np.arange(first, min(first + CHUNK, end)))
                    writer.append(pixels.reshape(-1, *manifest.image_shape), labels)
    return out


def planned(data: Path, runs: Path, choices: Sequence[dict[str, Any]], seeds: int) -> list[Seed]:
    """A run for each choice of settings and each seed; `data` is the folder of `split`."""
    found = []
    for given in choices:
        name = hashlib.sha256(json.dumps([given, data.name], sort_keys=True).encode()).hexdigest()[:12]
        found += [Seed(runs / FOLDER / name / f"seed-{each}", data, {**given, "seed": each}) for each in range(seeds)]
    return found


def lines(runs: Path) -> Iterator[Line]:
    """What was compared so far: a line for each choice of settings, of its finished runs, the best first."""
    found: list[Line] = []
    for folder in sorted((runs / FOLDER).glob("*/")):
        tried = [Run(each) for each in sorted(folder.glob("seed-*/"))]
        results = [(run, result) for run in tried if run.exists and (result := run.result()) and result.finished]
        if errors := [result.test_error for _, result in results if result.test_error is not None]:
            config = results[0][0].origin().config.as_dict()
            found.append(Line({name: config[name] for name in SHOWN}, errors))
    yield from sorted(found, key=lambda line: line.mean)
