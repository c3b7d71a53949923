"""Small datasets, and the files in their folders."""

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
    """Write a dataset of `count` rows in shards of 10; return the rows."""
    pixels, labels = rows_of(count)
    with DatasetWriter(path, (2, 2), 10, **{"shard_rows": 10, **options}) as writer:
        writer.append(pixels, labels)
    return pixels, labels


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def shard(folder: Path, index: int) -> Path:
    """Return the path of a shard by its index."""
    return folder / Manifest.read(folder).shards[index].file


def listed(folder: Path) -> list[str]:
    """Return the names of the dataset's files, according to its manifest."""
    return sorted([NAME, *(shard.file for shard in Manifest.read(folder).shards)])


def content(folder: Path) -> dict[str, bytes]:
    """Return the content of a dataset's files, without a writer's lock and staging folder."""
    ours = [path for path in folder.iterdir() if path.name != LOCK and not path.name.startswith(".writing-")]
    return {path.name: path.read_bytes() for path in ours}


def leave(folder: Path) -> None:
    """Create the files that killed writers leave.

    One of them has this process's id, because in a container a restarted command often has the same id as before.
    """
    (folder / ".writing-a1b2_c3d").mkdir(parents=True)
    (folder / ".writing-a1b2_c3d" / "shard").write_bytes(b"half a sha")
    (folder / "00000-0123456789ab.arrow").write_bytes(b"a shard that no manifest lists")
    (folder / f".{NAME}.{os.getpid()}.tmp").write_text("half a mani")
    (folder / f".{NAME}.1.tmp").write_text("half a mani")
    (folder / LOCK).touch()
