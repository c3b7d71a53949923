"""Images side by side, as one PNG picture."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GAP, GREY = 2, 96  # pixels between images, and their colour
MAX_SIDE = 1_500  # of the picture, unless the images themselves need more


def contact_sheet(images: NDArray[np.uint8]) -> bytes:
    """Draw images (lines, columns, height, width), enlarged if there is room: each pixel becomes a square.

    >>> sheet = contact_sheet(np.zeros((1, 2, 700, 700), np.uint8))
    >>> Image.open(io.BytesIO(sheet)).size
    (1402, 700)
    """
    lines, columns, height, width = images.shape
    side = max(lines * (height + GAP), columns * (width + GAP), 1)
    sheet = np.full((lines, height + GAP, columns, width + GAP), GREY, np.uint8)
    sheet[:, :height, :, :width] = images.swapaxes(1, 2)
    flat = sheet.reshape(lines * (height + GAP), columns * (width + GAP))[:-GAP, :-GAP]
    factor = max(1, MAX_SIDE // side)
    buffer = io.BytesIO()
    Image.fromarray(flat.repeat(factor, axis=0).repeat(factor, axis=1)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
