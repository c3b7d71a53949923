"""A slow and simple version of the kernels: each sum has the order that `ddmlp.nn.kernels` defines.

Numbers are float32. Operations on arrays are element-wise, and each sum is a loop. The fused multiply-add is made of
float64 operations.
"""

from typing import NamedTuple

import numpy as np

from ddmlp.nn import elementary, reference
from ddmlp.nn.elementary import LN_2, LN_2_REST, LOG2_E, P0, P1, P2, P3, P4, ROUND

F = np.float32
ONE = F(1)
MAX_GRADIENT, MAX_MOVE = 1e38, 1e19


class Gradient(NamedTuple):
    """A node of the reduction tree: dE/dW1 (m, n), dE/dW2 (n, o), and the statistics of its rows."""

    error: float
    mistakes: int
    steepest: np.float32
    w1: np.ndarray
    w2: np.ndarray


def fma(a, b, c):
    """Return a * b + c, rounded once to float32."""
    product = np.multiply(a, b, dtype=np.float64)  # exact: twice 24 bits
    whole = np.asarray(product + c)
    back = whole - product
    rest = (product - (whole - back)) + (c - back)  # the exact rounding error of the addition (TwoSum)
    inexact = np.isfinite(whole) & (rest != 0)
    # Rounding to odd prevents double rounding: `whole` is halfway between two float32 only if the exact sum is.
    number = whole.view(np.int64) - (inexact & ((rest > 0) != (whole > 0)))
    return (number | inexact).view(np.float64).astype(F)


def total(parts):
    """Return the sums of 64 numbers along the last axis: the upper half is added to the lower, until one is left."""
    while parts.shape[-1] > 1:
        half = parts.shape[-1] // 2
        parts = parts[..., :half] + parts[..., half:]
    return parts[..., 0]


def limit(x, most):
    x = np.where(x < -most, -most, x)
    return np.where(x > most, most, x)


def exp(x):
    x = limit(x, F(87))
    shifted = fma(x, LOG2_E, ROUND)
    k = shifted - ROUND
    r = fma(k, -LN_2_REST, fma(k, -LN_2, x))
    p = P4
    for coefficient in (P3, P2, P1, P0):
        p = fma(r, p, coefficient)
    e = fma(p, r * r, r) + ONE
    return (e.view(np.int32) + (shifted.view(np.int32) << 23)).view(F) + (x - x)


def logistic(z):
    return ONE / (ONE + exp(-z))


def ln(x):
    k = 0
    while x > elementary.ROOT_OF_2:
        x, k = x / 2, k + 1
    t = (x - 1) / (x + 1)
    series = 0.0
    for denominator in range(23, 0, -2):
        series = series * (t * t) + 1 / denominator
    return k * elementary.LN_OF_2 + 2 * t * series


def forward(w1, w2, pixels, labels):
    """Return y1 (B, n), y2 (B, o), and the most likely class and E of each row."""
    (rows, m), (n, o) = pixels.shape, w2.shape
    x, z1 = pixels.astype(F) / F(255), np.zeros((rows, n), F)
    for i in range(m):
        ink = pixels[:, i] != 0
        z1[ink] = fma(x[ink, i, None], w1[i], z1[ink])
    y1, parts = logistic(z1), np.zeros((rows, o, 64), F)
    for j in range(n):
        parts[..., j % 64] = fma(y1[:, j, None], w2[j], parts[..., j % 64])
    z2 = limit(total(parts), np.finfo(F).max / F(4))
    predicted = z2.argmax(axis=1)
    z2 = z2 - z2.max(axis=1, keepdims=True)
    e, parts = exp(z2), np.zeros((rows, 64), F)
    for k in range(o):
        parts[:, k % 64] += e[:, k]
    whole = total(parts)
    errors = [ln(float(whole[row])) - float(z2[row, labels[row]]) for row in range(rows)]
    return y1, e / whole[:, None], predicted, errors


@np.errstate(all="ignore")
def recognise(w1, w2, pixels, labels):
    """Return the probabilities y2 (B, o), the most likely classes and E."""
    _, y2, predicted, errors = forward(w1, w2, pixels, labels)
    return y2, predicted, ascending(errors)


@np.errstate(all="ignore")
def explain(w1, w2, pixels, classes):
    """Return y1 (B, n), the contributions (B, n) and the saliency (B, m)."""
    y1, *_ = forward(w1, w2, pixels, classes)
    w = w2.T[classes]
    d1, parts = w * y1 * (ONE - y1), np.zeros((*pixels.shape, 64), F)
    for j in range(w2.shape[0]):
        parts[..., j % 64] = fma(w1[:, j], d1[:, j, None], parts[..., j % 64])
    return y1, y1 * w, total(parts)


def ascending(numbers):
    """Return the sum in order. Python's `sum` differs: from 3.12 on it compensates for rounding."""
    result = 0.0
    for number in numbers:
        result += number
    return result


def microbatch(w1, w2, pixels, labels):
    (rows, m), (n, o) = pixels.shape, w2.shape
    y1, d2, predicted, errors = forward(w1, w2, pixels, labels)
    d2[np.arange(rows), labels] -= ONE
    d1 = np.zeros((rows, n), F)
    for k in range(o):
        d1 = fma(d2[:, k, None], w2[:, k], d1)
    d1 = d1 * y1 * (ONE - y1)
    g1, g2 = np.zeros((m, n), F), np.zeros((n, o), F)
    for row in range(rows):
        g2 = fma(y1[row, :, None], d2[row], g2)
        ink = pixels[row] != 0
        g1[ink] = fma(pixels[row, ink, None].astype(F) / F(255), d1[row], g1[ink])
    steepest = np.abs(d1).max() if np.isfinite(d1).all() else F(np.inf)
    return Gradient(ascending(errors), int((predicted != labels).sum()), steepest, g1 + F(0), g2)


@np.errstate(all="ignore")
def gradient(w1, w2, pixels, labels, size, bits=0):
    """Return the gradient of microbatches of `size` rows, each rounded to `bits`, added along the reduction tree.

    The left subtree has the largest power of two of microbatches that is less than their number.
    """
    count = -(-len(labels) // size)
    if count == 1:
        found = microbatch(w1, w2, pixels, labels)
        if bits:
            w1, w2 = reference.rounded(found.w1, bits), reference.rounded(found.w2.T, bits).T
            found = found._replace(w1=w1, w2=w2)
        return found
    left = size << (count - 1).bit_length() - 1
    one = gradient(w1, w2, pixels[:left], labels[:left], size, bits)
    other = gradient(w1, w2, pixels[left:], labels[left:], size, bits)
    steepest = max(one.steepest, other.steepest)
    return Gradient(
        one.error + other.error, one.mistakes + other.mistakes, steepest, one.w1 + other.w1, one.w2 + other.w2
    )


@np.errstate(all="ignore")
def step(w1, w2, found, rows, rate):
    """Return w1 and w2 after a step by the gradient of `rows` rows; None if the step is rejected."""
    most = rows * max(float(found.steepest), 1.0)
    if not (most < MAX_GRADIENT and abs(float(rate)) * most < MAX_MOVE):
        return None
    return fma(-rate, found.w1, w1), fma(-rate, found.w2, w2)
