"""Units, and answers with distinct values."""

import numpy as np

from ddmlp.plan.reduction_tree import Node
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.messages import Gradient, Unit


def unit(index, step=0, microbatches=1):
    return Unit(step, step, Node(index, index + microbatches))


def answer(unit, worker=0):
    """Return an answer: equal for all workers, different for each unit."""
    flat = np.array([unit.step, unit.node.lo, unit.node.hi], np.float32)
    return Gradient(unit, flat, RowStats(unit.microbatches, unit.node.lo, 0.5, 1, 1.0), worker)


def microbatch_rows(plan, step, index):
    """Return the rows of the dataset in microbatch `index` of `step`, in order."""
    begin = index * plan.microbatch
    return plan.rows_from(step, begin, min(plan.microbatch, plan.batch - begin))
