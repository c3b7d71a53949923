"""The Arrow column `image`: images as the bytes of picture files, as Hugging Face's datasets have them."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ddmlp.data.picture import picture_pixels
from ddmlp.data.sources.pixel_lists import shown
from ddmlp.errors import DatasetError

MAX_BYTES = 1 << 30  # of the pixels of a record batch


class PictureFiles:
    """Decodes the column `image`.

    Parameters
    ----------
    kind : pyarrow.DataType
        The type of the column: binary, or a struct with a binary field `bytes`.
    name : str
        The name of the source, with which error messages begin.

    Attributes
    ----------
    shape : tuple of int or None
        (height, width) of all images; None before the first one.

    Raises
    ------
    DatasetError
        The column has another type.
    """

    def __init__(self, kind: pa.DataType, name: str) -> None:
        self._name = name
        self.shape: tuple[int, int] | None = None
        inner = kind
        if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            inner = kind.field("bytes").type
        if not (pa.types.is_binary(inner) or pa.types.is_large_binary(inner)):
            raise DatasetError(
                f"{name} has images of type {shown(kind)}, expected the bytes of picture files, binary or in a struct "
                "with the field 'bytes'; or name a column of lists of pixels 'pixels'"
            )

    def decode(self, array: pa.Array, first: int) -> NDArray[np.uint8]:
        """Return the pixels (rows, height, width) of an array; `first` is the number of its first row, for messages."""
        files = array.field("bytes") if pa.types.is_struct(array.type) else array
        found: NDArray[np.uint8] | None = None
        for row, file in enumerate(files):
            subject = f"{self._name}: the image of row {first + row:,}"
            content = file.as_buffer() if file.is_valid else None
            if content is None:
                raise DatasetError(f"{subject} has no bytes, expected those of a picture file; embed the files")
            pixels = picture_pixels(memoryview(content), subject, self.shape)
            if found is None:
                self.shape = pixels.shape[0], pixels.shape[1]
                if pixels.size * len(files) > MAX_BYTES:
                    raise DatasetError(
                        f"{self._name} has {len(files):,} images in one record batch, expected at most "
                        f"{MAX_BYTES // pixels.size:,} of {pixels.shape[0]} x {pixels.shape[1]} pixels; send fewer"
                    )
                found = np.empty((len(files), *self.shape), np.uint8)
            found[row] = pixels
        assert found is not None, "a batch of rows is not empty"
        return found
