"""The rows of a dataset as an Arrow table."""

import pyarrow as pa

from ddmlp.data.dataset import Dataset
from ddmlp.data.shards import record_batch, schema


def table_of(dataset: Dataset) -> pa.Table:
    """Return the rows of a dataset, in the columns of its shards, which are views of the mapped files."""
    form = schema(dataset.manifest.image_shape)
    return pa.Table.from_batches([record_batch(*block, form) for block in dataset.blocks()], form)
