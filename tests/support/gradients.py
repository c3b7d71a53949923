"""Gradients computed in other ways than by the kernels, and their distance."""

import math

import numpy as np

from ddmlp.nn import reference
from ddmlp.nn.network import Network
from ddmlp.nn.weights import Shape, Weights

SHAPES = [(Shape(1, 1, 2), 1), (Shape(4, 3, 2), 1), (Shape(5, 4, 3), 7), (Shape(9, 6, 10), 4)]


def case(shape, rows, seed=1):
    """Return random weights, pixels (B, m) and labels (B,)."""
    draw = np.random.default_rng(seed)
    weights = Weights.join(draw.normal(size=shape[:2]), draw.normal(size=shape[1:]))
    pixels = draw.integers(0, 256, (rows, shape.inputs), dtype=np.uint8)
    return weights, pixels, draw.integers(0, shape.outputs, rows, dtype=np.uint8)


def exact(weights, pixels, labels):
    """Return W1, W2, x and t in float64, as the reference takes them."""
    t = np.eye(weights.shape.outputs)[labels]
    return weights.w1.astype(np.float64), weights.w2.astype(np.float64), pixels / 255, t


def run(weights, pixels, labels):
    """Return the error E, the number of mistakes and the gradient, from a network of exactly this size."""
    out = Weights(weights.shape)
    out.w1[...] = out.w2[...] = np.nan
    error, mistakes, _ = Network(weights.shape, len(labels)).gradient(weights, pixels, labels, out)
    return error, mistakes, out


def apart(one, other):
    """Return the distance of two vectors, relative to their norms."""
    one, other = (np.asarray(side, np.float64).ravel() for side in (one, other))
    return np.linalg.norm(one - other) / (np.linalg.norm(one) + np.linalg.norm(other))


def scalar_gradients(w1, w2, rows, classes):
    """Return E, dE/dW1 and dE/dW2 by the note's formulas, in scalar arithmetic."""
    (m, n), o = w1.shape, w2.shape[1]
    error, d1, d2 = 0.0, [[0.0] * n for _ in range(m)], [[0.0] * o for _ in range(n)]
    for x, t in zip(rows.tolist(), classes.tolist(), strict=True):
        y1 = [1 / (1 + math.exp(-math.fsum(x[i] * w1[i][j] for i in range(m)))) for j in range(n)]
        e = [math.exp(math.fsum(y1[j] * w2[j][k] for j in range(n))) for k in range(o)]
        y2 = [e[k] / sum(e) for k in range(o)]
        error -= sum(t[k] * math.log(y2[k]) for k in range(o))
        for j in range(n):
            for k in range(o):
                d2[j][k] += y1[j] * (y2[k] - t[k])
            back = sum((y2[k] - t[k]) * w2[j][k] for k in range(o))
            for i in range(m):
                d1[i][j] += x[i] * back * y1[j] * (1 - y1[j])
    return error, d1, d2


def central_differences(error, w1, w2, step):
    """Return dE/dW1 and dE/dW2 by central differences of E = error(w1, w2)."""
    slopes = []
    for layer in (w1, w2):
        slope = np.empty(layer.shape)
        for place in np.ndindex(layer.shape):
            value, errors = layer[place], []
            for moved in (value + step, value - step):
                layer[place] = moved
                errors.append(error(w1, w2))
            layer[place] = value
            slope[place] = (errors[0] - errors[1]) / (2 * step)
        slopes.append(slope)
    return slopes


def reference_slopes(w1, w2, x, t):
    """Return the central differences of the reference's E."""
    return central_differences(lambda *weights: reference.error(*weights, x, t), w1, w2, 1e-5)
