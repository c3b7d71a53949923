"""Explains why a step would have left weights that are not finite."""

import math

from ddmlp.data.dataset import Dataset
from ddmlp.errors import TrainingError
from ddmlp.nn.weights import Weights
from ddmlp.plan.plan import Plan, Update
from ddmlp.plan.reduction_tree import Node
from ddmlp.training.messages import Unit
from ddmlp.training.pixel_stage import PixelStage
from ddmlp.training.worker import Worker


def nonfinite_error(
    dataset: Dataset, plan: Plan, update: Update, weights: Weights, stage: PixelStage | None = None
) -> TrainingError:
    """The error for an update that would leave weights that are not finite.

    weights: the version that the step read; stage: changes the pixels.
    """
    found = find_nonfinite_microbatch(dataset, plan, update, weights, stage)
    return TrainingError(
        f"the weights are no longer finite after step {update.step}: {found}; the last checkpoint is still valid"
    )


def find_nonfinite_microbatch(
    dataset: Dataset, plan: Plan, update: Update, weights: Weights, stage: PixelStage | None = None
) -> str:
    """Name the microbatch whose gradient is not finite, or another cause; see `nonfinite_error`."""
    if not weights.finite:
        return f"version {update.read}, which it read, is not finite either, so a worker computed wrong values"
    worker, gradient = Worker(dataset, plan, weights.shape, stage=stage), Weights(weights.shape)
    for index in range(plan.microbatches(update.step)):
        row_stats = worker.compute(Unit(*update, Node(index, index + 1)), weights, gradient)
        if not math.isfinite(row_stats.steepest):
            return f"the gradient of microbatch {index} is not finite; a smaller lr may help"
    return (
        "a recomputation of its microbatches gives finite gradients, so either their sum or the update is too large, "
        "and a smaller lr may help, or a worker computed wrong values"
    )
