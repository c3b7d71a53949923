"""Decoding of the Arrow columns of images and labels into rows."""

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ddmlp.data.manifest import MAX_CLASSES, check_names
from ddmlp.data.sources import Rows
from ddmlp.data.sources.picture_files import PictureFiles
from ddmlp.data.sources.pixel_lists import PixelLists, first_null, is_pixels, shown
from ddmlp.errors import DatasetError

LABEL = "label"
IMAGES = "pixels", "image"  # a schema has one of them


class Columns:
    """Decodes the record batches of one schema, and counts their rows.

    The column `pixels` is a fixed-shape tensor of uint8, (height, width); or a list of uint8, of the same length in all
    rows (the image is square if possible, else 1 pixel high); or a list of such lists, one for each line of the image.
    Instead of it there may be a column `image`, of the same types or of picture files, as Hugging Face's datasets have
    it: binary, or a struct with the field `bytes`. The column `label` has integers from 0 to classes-1. Other columns
    are ignored.

    Parameters
    ----------
    schema : pyarrow.Schema
        The schema of the record batches.
    name : str
        The name of the source, with which error messages begin.
    classes : int
        The number of classes.

    Attributes
    ----------
    names : list of str
        The names of the two columns.
    indices : list of int
        Their indices in the schema.
    row : int
        The number of the next row, for messages.

    Raises
    ------
    DatasetError
        A column is missing, occurs twice, or has another type.
    """

    def __init__(self, schema: pa.Schema, name: str, classes: int) -> None:
        self._name, self._classes = name, classes
        self.row = 0
        image = next((each for each in IMAGES if schema.get_all_field_indices(each)), IMAGES[0])
        self.names = [image, LABEL]
        for column in self.names:
            if (count := len(schema.get_all_field_indices(column))) != 1:
                raise DatasetError(
                    f"{name} has {count} columns {column!r}, expected one 'pixels', of lists, or 'image', of picture "
                    f"files, and one 'label', of integers; rename or combine its columns {shown(schema.names)}"
                )
        self.indices = [schema.get_field_index(column) for column in self.names]
        self._types = [schema.field(index).type for index in self.indices]
        kind, label = self._types
        if not pa.types.is_integer(label):
            raise DatasetError(
                f"{name} has labels of type {shown(label)}, expected integers; send labels as numbers from 0"
            )
        self._images = PictureFiles(kind, name) if image == "image" and not is_pixels(kind) else PixelLists(kind, name)

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """The (height, width) of the images; None as long as neither the type nor a row has told it."""
        return self._images.shape

    def following(self, schema: pa.Schema, offset: int) -> "Columns":
        """Return the decoder for a stream that continues this one at byte `offset`.

        Raises DatasetError if its columns have other types.
        """
        other = Columns(schema, self._name, self._classes)
        if other._types != self._types:
            found, expected = (shown(", ".join(map(str, each._types))) for each in (other, self))
            raise DatasetError(
                f"{self._name} continues at byte {offset:,} with images and labels of the types {found}, expected "
                f"{expected} as before; join only streams that have the same columns"
            )
        other.row, other._images = self.row, self._images
        return other

    def decode(self, batch: pa.RecordBatch) -> Rows:
        """Return the rows of a record batch, which must not be empty; the pixels are views if possible.

        Raises DatasetError for invalid values, and passes on pyarrow's errors for damaged data.
        """
        batch = batch.select(self.names)
        batch.validate(full=True)
        for column, array in zip(self.names, batch.columns, strict=True):
            if (null := first_null(array)) is not None:
                raise DatasetError(f"{self._name}: the {column} of row {self.row + null:,} is null, expected a value")
        images, labels = batch.columns
        rows = Rows(self._images.decode(images, self.row), self._labels(labels))
        self.row += len(batch)
        return rows

    def _labels(self, array: pa.Array) -> NDArray[np.uint8]:
        labels: NDArray[np.integer] = array.to_numpy()
        if (wrong := np.flatnonzero((labels < 0) | (labels >= self._classes))).size:
            more = ", or set more classes" if self._classes < MAX_CLASSES else ""
            raise DatasetError(
                f"{self._name}: the label of row {self.row + int(wrong[0]):,} is {labels[wrong[0]]}, expected 0 to "
                f"{self._classes - 1}; number the classes from 0{more}"
            )
        return labels.astype(np.uint8, copy=False)


def class_names(schema: pa.Schema) -> tuple[str, ...] | None:
    """Return the names of the classes that Hugging Face's datasets keep in a schema; None if it has none.

    Examples
    --------
    >>> names = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    >>> class_names(pa.schema({"label": pa.int64()}, {"huggingface": msgspec.json.encode(names)}))
    ('cat', 'dog')
    """
    try:
        found = msgspec.json.decode((schema.metadata or {})[b"huggingface"])
        names = tuple(found["info"]["features"][LABEL]["names"])
        check_names(names, len(names))
    except (KeyError, TypeError, ValueError):
        return None
    return names if len(names) <= MAX_CLASSES else None
