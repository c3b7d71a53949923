"""Products with the pixels that are not zero; the others are skipped.

Each pixel that is not zero is an *entry* of two lists: in its row's list with the number of the pixel, and in its
pixel's list with the number of the row. An entry also has the pixel's value, 1..255: it is `number * 256 + value`.

The lists are cut into blocks of rows and of pixels, so that the data of an inner loop stay in the level 1 cache. Blocks
are processed in ascending order, so the size of a block does not affect the order of any sum.
"""

from typing import Any

import numpy as np

from ddmlp.nn.compiled import inlined
from ddmlp.nn.lanes import fma, item, load, load_byte, load_word, prefetch
from ddmlp.nn.weights import CACHE_LINE

ROWS = 128  # rows of a block
FULL, THIN = 96, 192  # pixels of a block, if many or few of them are not zero
AHEAD = 2  # rows that are prefetched
# x = value / 255, rounded to float32
INPUTS = (np.arange(256, dtype=np.float32) / np.float32(255)).astype(np.float32)


@inlined
def count_blocks(count: int, size: int) -> int:
    """The number of blocks of `size` that hold `count` items."""
    return (count + size - 1) // size


@inlined
def choose_block(row: int, m: int) -> int:
    """The number of pixels per block for rows like the one at this address."""
    count = 0
    for pixel in range(m):
        count += load_byte(row + pixel) != 0
    return FULL if 5 * count > 2 * m else THIN


@inlined
def list_rows(addresses: Any, first: int, rows: int, m: int, size: int, starts: Any, entries: Any) -> None:
    """List the entries of the rows first..first + rows - 1: row by row, and within a row by blocks of `size` pixels.

    addresses: of each row's m bytes. starts[r * blocks + b]: the place of the first entry of block b of row r; the
    last element is where the last entries end. entries: uint32, with room for all pixels and one more.
    """
    count = cell = 0
    for number in range(first, first + rows):
        row = item(addresses, number)
        if number + AHEAD < first + rows:  # rows are in random order, so the processor cannot prefetch them itself
            for pixel in range(0, m, CACHE_LINE):
                prefetch(item(addresses, number + AHEAD) + pixel)
        for begin in range(0, m, size):
            starts[cell] = count
            cell += 1
            end = min(begin + size, m)
            pixel = begin
            while pixel + 8 <= end:
                word = load_word(row + pixel)
                if word:  # most words are zero
                    for byte in range(8):
                        value = np.intp((word >> np.uint64(8 * byte)) & np.uint64(255))
                        entries[count] = (pixel + byte) * 256 + value
                        count += value != 0
                pixel += 8
            while pixel < end:
                value = np.intp(load_byte(row + pixel))
                entries[count] = pixel * 256 + value
                count += value != 0
                pixel += 1
    starts[cell] = count


@inlined
def list_pixels(by_row: Any, first: int, rows: int, m: int, size: int, starts: Any, entries: Any) -> None:
    """List the same entries pixel by pixel, and within a pixel by row: a counting sort.

    by_row: starts and entries from `list_rows` for one block of rows, in blocks of `size` pixels. first: the number of
    the block's first row, a multiple of ROWS. starts[first / ROWS * m + i]: the place of the first entry of pixel i,
    and after the last pixel where its entries end; the element of pixel 0 must be set already. entries: uint32, with
    room for all pixels of all rows.
    """
    row_starts, row_entries = by_row
    blocks, cells = count_blocks(m, size), first // ROWS * m
    begin = starts[cells]
    for cell in range(cells + 1, cells + m + 1):
        starts[cell] = 0
    for place in range(row_starts[rows * blocks]):
        starts[cells + (row_entries[place] >> 8) + 1] += 1
    # Turn counts into the places of the first entries. Each then moves to the end of its list, which is where the list
    # of the next pixel begins.
    count = begin
    for cell in range(cells + 1, cells + m + 1):
        count, starts[cell] = count + starts[cell], count
    for row in range(rows):
        for place in range(row_starts[row * blocks], row_starts[(row + 1) * blocks]):
            entry = row_entries[place]
            cell = cells + (entry >> 8) + 1
            entries[starts[cell]] = (first + row) * 256 + (entry & 255)
            starts[cell] += 1


@inlined
def add_products(lists: Any, cell: int, factors: Any, width: int, column: int, sums: Any) -> Any:
    """Add x times a row of `factors`, from `column` on, to the vector `sums`, for each entry of a list, in its order.

    x is the input that the entry's value stands for, and its number is that of the row. lists: starts and entries;
    cell: the list's place in starts; factors (numbers, width) float32, flat.
    """
    starts, entries = lists
    for place in range(item(starts, cell), item(starts, cell + 1)):
        entry = np.intp(item(entries, place))
        sums = fma(item(INPUTS, entry & 255), load(factors, (entry >> 8) * width + column), sums)
    return sums


@inlined
def list_live(starts: Any, m: int, live: Any) -> int:
    """Write to live (m,) first the pixels that have an entry in the first block of rows, ascending, then the others.

    Returns the number of pixels that have an entry.
    """
    count, rest = 0, m
    for pixel in range(m):
        if item(starts, pixel) != item(starts, pixel + 1):
            live[count] = pixel
            count += 1
        else:
            rest -= 1
            live[rest] = pixel
    return count
