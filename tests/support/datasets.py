"""Small datasets, and what lies in their folders."""

import os
from pathlib import Path

import numpy as np

from ddmlp.data.manifest import NAME, Manifest
from ddmlp.data.writer import DatasetWriter
from ddmlp.files import LOCK


def rows_of(count: int, shape: tuple[int, int] = (2, 2), seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, *shape), np.uint8), random.integers(0, 10, count, np.uint8)


def write(path: Path, count: int = 25, **options: object) -> tuple[np.ndarray, np.ndarray]:
    """A dataset of `count` rows in shards of 10; returns its rows."""
    pixels, labels = rows_of(count)
    with DatasetWriter(path, (2, 2), 10, **{"shard_rows": 10, **options}) as writer:
        writer.append(pixels, labels)
    return pixels, labels


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def shard(folder: Path, index: int) -> Path:
    """The shard of that index, by the manifest."""
    return folder / Manifest.read(folder).shards[index].file


def listed(folder: Path) -> list[str]:
    """The files that a dataset consists of, by its manifest."""
    return sorted([NAME, *(shard.file for shard in Manifest.read(folder).shards)])


def content(folder: Path) -> dict[str, bytes]:
    """A dataset's files but for what a writer keeps beside them while it writes."""
    ours = [path for path in folder.iterdir() if path.name != LOCK and not path.name.startswith(".writing-")]
    return {path.name: path.read_bytes() for path in ours}


def leave(folder: Path) -> None:
    """What killed writers leave, one of this very process id among them: in a container, a restarted command has the
    process id that it had before."""
    (folder / ".writing-a1b2_c3d").mkdir(parents=True)
    (folder / ".writing-a1b2_c3d" / "shard").write_bytes(b"half a sha")
    (folder / "00000-0123456789ab.arrow").write_bytes(b"a shard that no manifest lists")
    (folder / f".{NAME}.{os.getpid()}.tmp").write_text("half a mani")
    (folder / f".{NAME}.1.tmp").write_text("half a mani")
    (folder / LOCK).touch()
