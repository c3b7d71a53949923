"""Gradients computed in other ways than the network does, and how far apart they are."""

import math

import numpy as np
from ddmlp.nn.inputs import Inputs

from ddmlp.nn.network import Network
from ddmlp.nn.weights import Shape, Weights

SHAPES = [(Shape(1, 1, 2), 1), (Shape(4, 3, 2), 1), (Shape(5, 4, 3), 7), (Shape(9, 6, 10), 4)]


def case(shape, rows, dtype=np.float64, seed=1):
    """Weights, rows x (B, m) and labels (B,), drawn."""
    draw = np.random.default_rng(seed)
    weights = Weights(shape, draw.normal(size=shape.size).astype(dtype))
    x = draw.random((rows, shape.inputs)).astype(dtype)
    return weights, x, draw.integers(0, shape.outputs, rows, dtype=np.uint8)


def run(weights, x, labels):
    """The error E, the mistakes and the gradient, from a network of just the size."""
    out = Weights(weights.shape, np.full_like(weights.flat, np.nan))
    error, mistakes = Network(weights.shape, len(x), weights.flat.dtype).gradients(weights, Inputs(x), labels, out)
    return error, mistakes, out


def apart(one, other):
    """How far apart two vectors are, relative to their norms."""
    one, other = (np.asarray(side, np.float64).ravel() for side in (one, other))
    return np.linalg.norm(one - other) / (np.linalg.norm(one) + np.linalg.norm(other))


def scalar_gradients(w1, w2, rows, labels):
    """E, dE/dW1 and dE/dW2 as the note writes them: one row, one sum and one number at a time."""
    m, n, o = len(w1), len(w2), len(w2[0])
    error, d1, d2 = 0.0, [[0.0] * n for _ in range(m)], [[0.0] * o for _ in range(n)]
    for x, label in zip(rows, labels, strict=True):
        y1 = [1 / (1 + math.exp(-math.fsum(x[i] * w1[i][j] for i in range(m)))) for j in range(n)]
        e = [math.exp(math.fsum(y1[j] * w2[j][k] for j in range(n))) for k in range(o)]
        y2 = [e[k] / sum(e) for k in range(o)]
        t = [float(k == label) for k in range(o)]
        error -= sum(t[k] * math.log(y2[k]) for k in range(o))
        for j in range(n):
            for k in range(o):
                d2[j][k] += y1[j] * (y2[k] - t[k])
            back = sum((y2[k] - t[k]) * w2[j][k] for k in range(o))
            for i in range(m):
                d1[i][j] += x[i] * back * y1[j] * (1 - y1[j])
    return error, d1, d2


def central_differences(weights, x, labels, step=1e-5):
    """dE/dW of every single weight, from E alone."""
    network = Network(weights.shape, len(x), np.float64)
    slopes = np.empty(weights.shape.size)
    for index in range(slopes.size):
        errors = []
        for shift in (step, -step):
            moved = weights.flat.copy()
            moved[index] += shift
            errors.append(network.score(Weights(weights.shape, moved), Inputs(x), labels)[0])
        slopes[index] = (errors[0] - errors[1]) / (2 * step)
    return Weights(weights.shape, slopes)
