"""Arrow tables in memory."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ddmlp.data.manifest import MAX_CLASSES
from ddmlp.data.sources.arrow_columns import Columns
from ddmlp.data.sources.pixel_lists import shown
from ddmlp.errors import DatasetError


def table_columns(table: Any, name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the pixels (rows, height, width) and the labels (rows,), uint8, of a pyarrow Table or RecordBatch.

    `Columns` describes the columns. `name` is the name of the table in error messages.

    Raises
    ------
    DatasetError
        The columns or their values are invalid, or there are no rows.
    """
    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    if not isinstance(table, pa.Table):
        raise DatasetError(f"{name} is a {type(table).__name__}, expected a pyarrow Table")
    columns = Columns(table.schema, name, MAX_CLASSES)
    try:
        found = [columns.decode(batch) for batch in table.to_batches() if len(batch)]
    except pa.ArrowException as error:
        raise DatasetError(f"{name}: {shown(error)}") from error
    if not found:
        raise DatasetError(f"{name} has no rows, expected at least one")
    return np.concatenate([rows.pixels for rows in found]), np.concatenate([rows.labels for rows in found])
