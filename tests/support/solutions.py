"""Answers to the exercises of docs/exercises.md: a right one to each, and typical wrong ones with a fact of the reply.

Answers that are files are given as their text.
"""

GRADIENT = """
import numpy as np

def gradients(w1, w2, x, t):
    y1 = 1 / (1 + np.exp(-(x @ w1)))
    e = np.exp(y1 @ w2)
    d2 = e / e.sum(axis=1, keepdims=True) - t
    d1 = d2 @ w2.T * y1 * (1 - y1)
    return x.T @ d1, y1.T @ d2
"""
REDUCE = """
def reduce(count, arrived):
    parts = dict(arrived)

    def total(low, high):
        if high - low == 1:
            return parts[low]
        size = 1
        while 2 * size < high - low:
            size *= 2
        return total(low, low + size) + total(low + size, high)

    return total(0, count)
"""
ACCEPT = """
def accept(answers):
    first = {}
    for unit, gradient in answers:
        if first.setdefault(unit, gradient) != gradient:
            raise ValueError(f"two answers of unit {unit} differ")
    return list(first)
"""
SHIFT = """
from ddmlp.numerics import row_bits

def shift(pixels, rows, seed, epoch):
    moved = row_bits(rows, seed, epoch) % 2 == 1
    shifted = pixels.copy()
    shifted[moved, :, 1:] = pixels[moved, :, :-1]
    shifted[moved, :, 0] = 0
    return shifted
"""
FILES = {"gradients": GRADIENT, "reduce": REDUCE, "accept": ACCEPT, "shift": SHIFT}
WRONG_FILES = {
    "gradients": [
        (GRADIENT.replace("return x.T @ d1, y1.T @ d2", "return x.T @ d1 / len(x), y1.T @ d2 / len(x)"), "are means"),
        (GRADIENT.replace(" * y1 * (1 - y1)", ""), "the slope"),
        (GRADIENT.replace("- t", "").replace("d2 = ", "d2 = t - "), "sign"),
        (GRADIENT.replace("x.T @ d1,", "0 * w1,"), "dE/dW1 is wrong"),
        (GRADIENT.replace("y1.T @ d2", "0 * w2"), "dE/dW2 is wrong"),
        (GRADIENT.replace("x.T @ d1,", "d1,"), "shapes"),
        (GRADIENT.replace("x.T @ d1,", "x.T @ d1 * 1.00001,"), "few digits"),
    ],
    "reduce": [
        ("def reduce(count, arrived):\n    return sum((part for _, part in arrived), start=0)\n", "order of arrival"),
        ("def reduce(count, arrived):\n    return sum(part for _, part in sorted(arrived, key=lambda each: each[0]))\n",
         "not that of the tree"),
        (REDUCE.replace("return total(0, count)", "return total(0, max(1, count - 1))"), "exactly once"),
        (REDUCE.replace("return total(0", "return list(parts) or total(0"), "float32"),
    ],
    "accept": [
        ("def accept(answers):\n    return [unit for unit, _ in answers]\n", "counts twice"),
        ("def accept(answers):\n    return None\n", "NoneType"),
        ("def accept(answers):\n    return list(dict(answers))\n", "expected ValueError"),
        (ACCEPT.replace("list(first)", "sorted(first)"), "first answers"),
        ("def accept(answers):\n    if len(dict(answers)) < len(answers):\n        raise ValueError\n"
         "    return list(dict(answers))\n", "raised ValueError for"),
    ],
    "shift": [
        (SHIFT.replace("row_bits(rows, seed, epoch) % 2 == 1", "__import__('numpy').random.random(len(rows)) < 0.5"),
         "called again"),
        (SHIFT.replace("row_bits(rows,", "row_bits(rows - rows[0],"), "the other rows"),
        (SHIFT.replace("shifted[moved, :, 0] = 0", "shifted[moved, :, 0] = pixels[moved, :, -1]"), "zeros"),
        (SHIFT.replace("== 1", "== 0"), "moves right"),
        (SHIFT.replace("return shifted", "return shifted.astype(float)"), "uint8"),
    ],
}  # fmt: skip
