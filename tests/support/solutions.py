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
STEP_SIZE = """
def step_size(lr, batch, step, steps):
    return lr * (1 - step / steps) / batch
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
FILES = {2: GRADIENT, 3: STEP_SIZE, 4: REDUCE, 8: ACCEPT, 10: SHIFT}
NAMES = {2: "gradients", 3: "step_size", 4: "reduce", 8: "accept", 10: "shift"}
WRONG_FILES = [
    (2, GRADIENT.replace("return x.T @ d1, y1.T @ d2", "return x.T @ d1 / len(x), y1.T @ d2 / len(x)"), "are means"),
    (2, GRADIENT.replace(" * y1 * (1 - y1)", ""), "the slope"),
    (2, GRADIENT.replace("- t", "").replace("d2 = ", "d2 = t - "), "sign"),
    (2, GRADIENT.replace("x.T @ d1,", "0 * w1,"), "dE/dW1 is wrong"),
    (2, GRADIENT.replace("y1.T @ d2", "0 * w2"), "dE/dW2 is wrong"),
    (2, GRADIENT.replace("x.T @ d1,", "d1,"), "shapes"),
    (3, STEP_SIZE.replace(" / batch", ""), "by alpha / B"),
    (3, STEP_SIZE.replace("step / steps", "(step + 1) / steps"), "one step too far"),
    (3, STEP_SIZE.replace("(1 - step / steps)", "1"), "alpha falls"),
    (3, STEP_SIZE.replace("- step", "- 2 * step"), "step 9 of 10"),
    (3, STEP_SIZE.replace("return lr", "return None and lr"), "NoneType"),
    (4, "def reduce(count, arrived):\n    return sum((part for _, part in arrived), start=0)\n", "order of arrival"),
    (4, "def reduce(count, arrived):\n    return sum(part for _, part in sorted(arrived, key=lambda each: each[0]))\n",
     "not that of the tree"),
    (4, REDUCE.replace("return total(0, count)", "return total(0, max(1, count - 1))"), "exactly once"),
    (4, REDUCE.replace("return total(0", "return list(parts) or total(0"), "float32"),
    (8, "def accept(answers):\n    return [unit for unit, _ in answers]\n", "counts twice"),
    (8, "def accept(answers):\n    return list(dict(answers))\n", "expected ValueError"),
    (8, ACCEPT.replace("list(first)", "sorted(first)"), "first answers"),
    (8, "def accept(answers):\n    if len(dict(answers)) < len(answers):\n        raise ValueError\n"
        "    return list(dict(answers))\n", "raised ValueError for"),
    (10, SHIFT.replace("row_bits(rows, seed, epoch) % 2 == 1", "__import__('numpy').random.random(len(rows)) < 0.5"),
     "called again"),
    (10, SHIFT.replace("row_bits(rows,", "row_bits(rows - rows[0],"), "the other rows"),
    (10, SHIFT.replace("shifted[moved, :, 0] = 0", "shifted[moved, :, 0] = pixels[moved, :, -1]"), "zeros"),
    (10, SHIFT.replace("== 1", "== 0"), "moves right"),
    (10, SHIFT.replace("return shifted", "return shifted.astype(float)"), "uint8"),
]  # fmt: skip
