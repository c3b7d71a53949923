"""Datasets as a source of Ray Data."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import ray.data
from msgspec import structs
from ray.data.block import Block, BlockAccessor, BlockMetadata
from ray.data.datasource import Datasource, ReadTask

from ddmlp.data.dataset import Dataset
from ddmlp.data.manifest import Manifest


class DdmlpDatasource(Datasource):  # Ray shows the name without its last word
    """The shards of a dataset. Each is read by a task of Ray's, on any node, where the folder must have the same path.

    Parameters
    ----------
    folder : Path
        The folder of the dataset, absolute.
    manifest : Manifest
        Its manifest.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._folder, self._manifest = folder, manifest

    def estimate_inmemory_data_size(self) -> int:
        return self._bytes(self._manifest.rows)

    def get_read_tasks(
        self,
        parallelism: int,  # noqa: ARG002 - a task for each shard
        per_task_row_limit: int | None = None,
        data_context: Any = None,  # noqa: ARG002
    ) -> list[ReadTask]:
        tasks = []
        for shard in self._manifest.shards:
            alone = structs.replace(self._manifest, rows=shard.rows, shards=(shard,))
            metadata = BlockMetadata(
                num_rows=shard.rows,
                size_bytes=self._bytes(shard.rows),
                exec_stats=None,
                input_files=(str(self._folder / shard.file),),
            )
            tasks.append(ReadTask(partial(_read, self._folder, alone), metadata, None, per_task_row_limit))
        return tasks

    def _bytes(self, rows: int) -> int:
        return rows * (self._manifest.pixels + 1)


def _read(folder: Path, manifest: Manifest) -> Iterator[Block]:
    """Yield the blocks of the shards of a manifest, compared with their hashes."""
    for block in Dataset(folder, verify=True, manifest=manifest).blocks():
        pixels = block.pixels.reshape(-1, *manifest.image_shape)
        yield BlockAccessor.batch_to_block({"pixels": pixels, "label": block.labels})


def read(folder: Path, manifest: Manifest) -> ray.data.Dataset:
    """Return the rows of a dataset as one of Ray Data, which reads them when they are needed."""
    found: ray.data.Dataset = ray.data.read_datasource(DdmlpDatasource(folder, manifest))
    return found
