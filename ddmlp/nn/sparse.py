"""Products with the pixels, of which only those that are not zero are multiplied.

A pixel that is not zero is an *entry* of a list: in the list of its row with the number of its pixel, in the list of
its pixel with the number of its row. Either is kept together with the value 1..255, as `number * 256 + value`.

The lists come in blocks of rows and of pixels, so that what an inner loop reads stays in the nearest cache. Blocks
follow each other in ascending order, so the order of each sum is the same for any size of a block.
"""

from typing import Any

import numpy as np

from ddmlp.nn.compiled import inlined
from ddmlp.nn.lanes import fma, item, load, load_byte, load_word, prefetch
from ddmlp.nn.weights import CACHE_LINE

ROWS = 128  # of a block
FULL, THIN = 96, 192  # pixels of a block, if many of them are not zero, and if few are
AHEAD = 2  # rows that are fetched into the caches before they are read
# x = value / 255, rounded to float32
INPUTS = (np.arange(256, dtype=np.float32) / np.float32(255)).astype(np.float32)


@inlined
def count_blocks(count: int, size: int) -> int:
    """Blocks of `size` that hold `count`."""
    return (count + size - 1) // size


@inlined
def choose_block(row: int, m: int) -> int:
    """Pixels of a block for rows like the one at this address."""
    count = 0
    for pixel in range(m):
        count += load_byte(row + pixel) != 0
    return FULL if 5 * count > 2 * m else THIN


@inlined
def list_rows(addresses: Any, first: int, rows: int, m: int, size: int, starts: Any, entries: Any) -> None:
    """The entries of `rows` rows from the row `first` on, row by row, in each by block of `size` pixels.

    addresses: of the m bytes of each row. starts: where the entries of block b of row r begin, [r * blocks + b]; and
    where the last ones end. entries: uint32, with room for all pixels and one more.
    """
    count = cell = 0
    for number in range(first, first + rows):
        row = item(addresses, number)
        if number + AHEAD < first + rows:  # rows lie anywhere in a file
            for pixel in range(0, m, CACHE_LINE):
                prefetch(item(addresses, number + AHEAD) + pixel)
        for begin in range(0, m, size):
            starts[cell] = count
            cell += 1
            end = min(begin + size, m)
            pixel = begin
            while pixel + 8 <= end:
                word = load_word(row + pixel)
                if word:  # most of them are zero
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
    """The same entries, pixel by pixel, in each by row: a counting sort.

    by_row: starts and entries from `list_rows`, of one block of rows, in blocks of `size` pixels; first: the number of
    its first row, a multiple of ROWS. starts: where the entries of pixel i begin, [first / ROWS * m + i], of which the
    first one is set; and where the last ones end. entries: uint32, with room for all pixels of all rows.
    """
    row_starts, row_entries = by_row
    blocks, cells = count_blocks(m, size), first // ROWS * m
    begin = starts[cells]
    for cell in range(cells + 1, cells + m + 1):
        starts[cell] = 0
    for place in range(row_starts[rows * blocks]):
        starts[cells + (row_entries[place] >> 8) + 1] += 1
    # From counts to the places of the first entries, which then move on to the end of their list, and so to the begin
    # of the next pixel's.
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
    """sums + the products of a list's inputs x and their rows of `factors`, from `column` on, in the order of the list.

    lists: starts and entries; cell: where the list is in starts; factors (numbers, width) float32, flat.
    """
    starts, entries = lists
    for place in range(item(starts, cell), item(starts, cell + 1)):
        entry = np.intp(item(entries, place))
        sums = fma(item(INPUTS, entry & 255), load(factors, (entry >> 8) * width + column), sums)
    return sums


@inlined
def list_live(starts: Any, m: int, live: Any) -> int:
    """The pixels that have an entry in the first block of rows, ascending, into live (m,), and behind them those that
    have none; returns how many have."""
    count, rest = 0, m
    for pixel in range(m):
        if item(starts, pixel) != item(starts, pixel + 1):
            live[count] = pixel
            count += 1
        else:
            rest -= 1
            live[rest] = pixel
    return count
