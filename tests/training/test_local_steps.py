"""Steps of one process: many in one call give the same bits as one by one, and as the step loop."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddmlp.data.dataset import Dataset
from ddmlp.errors import TrainingError
from ddmlp.nn.optimizer import SGD
from ddmlp.nn.weights import Weights
from ddmlp.plan.plan import Update
from ddmlp.training import batch_reader, local_steps
from ddmlp.training.local_steps import LocalSteps
from ddmlp.training.loop import Loop
from ddmlp.training.messages import Unit
from ddmlp.training.worker import Worker
from tests.support.loops import (
    ROWS,
    SHAPE,
    all_made,
    begin,
    copied,
    hashes,
    job_of,
    local,
    looped,
    made,
    steep,
    write,
)  # fmt: skip

CASES = [
    (batch, microbatch, delay, follow)
    for batch, microbatch in [(1, 1), (64, 32), (250, 7)]
    for delay in range(4)
    for follow in (False, True)
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write(tmp_path_factory.mktemp("local") / "train")


@pytest.mark.parametrize(("batch", "microbatch", "delay", "follow"), CASES)
def test_simple(dataset: Dataset, batch: int, microbatch: int, delay: int, follow: bool):
    """Many steps per call, single steps and workers give the same bits; the last step of an epoch is short."""
    job = job_of(batch, microbatch, delay, follow)
    plan = job.plan(dataset.manifest)
    stretches, single, worked = local(job, dataset), local(job, dataset), looped(job, dataset)
    applied = all_made(stretches, plan)
    assert applied == [each for step in range(plan.steps) for each in single.advance(plan, step + 1)]
    assert applied == all_made(worked, plan)
    assert [update for update, _ in applied] == [Update(n, max(0, n - delay)) for n in range(plan.steps)]
    assert hashes(stretches) == hashes(single) == hashes(worked)
    assert len(hashes(stretches)) == min(delay, plan.steps) + 1
    assert stretches.advance(plan, plan.steps) == []


@pytest.mark.parametrize(("batch", "microbatch"), [(64, 64), (64, 32), (250, 7)])
def test_rounded(dataset: Dataset, batch: int, microbatch: int):
    """Rounded gradients change the weights, but they are the same with workers."""
    job = job_of(batch, microbatch, bits=5)
    plan = job.plan(dataset.manifest)
    alone, worked, plain = local(job, dataset), looped(job, dataset), local(job_of(batch, microbatch), dataset)
    assert all_made(alone, plan) == all_made(worked, plan)
    all_made(plain, job_of(batch, microbatch).plan(dataset.manifest))
    assert hashes(alone) == hashes(worked) != hashes(plain)


@pytest.mark.parametrize(("batch", "counts"), [(1, [310]), (64, [4, 1]), (250, [1, 1])])
def test_steps_of_a_call(dataset: Dataset, batch: int, counts: list[int]):
    job = job_of(batch, batch)
    loop, plan = local(job, dataset), job.plan(dataset.manifest)
    assert [len(applied) for applied in made(loop, plan)] == 2 * counts
    assert loop.stats.answered == {0: 2 * sum(counts)}
    assert len(loop._next_updates(10**12)) == batch_reader.LOT, "a call costs the same at any distance"


@given(stops=st.sets(st.integers(0, 2 * ROWS)), delay=st.integers(0, 3))
def test_upto(dataset: Dataset, stops: set[int], delay: int):
    job = job_of(1, 1, delay)
    loop, plan = local(job, dataset), job.plan(dataset.manifest)
    for stop in sorted(stops):
        all_made(loop, plan, stop)
        assert loop.step == stop
        assert loop.advance(plan, stop) == []


@pytest.mark.parametrize(("batch", "microbatch", "delay", "follow"), CASES)
def test_resumed(dataset: Dataset, batch: int, microbatch: int, delay: int, follow: bool):
    """Either loop can continue in the middle of a run."""
    job = job_of(batch, microbatch, delay, follow)
    plan = job.plan(dataset.manifest)
    whole = local(job, dataset)
    expected = all_made(whole, plan)
    for kind, other, stop in [(local, local, 1), (looped, local, 3), (local, looped, plan.steps - 1)]:
        first = kind(replace(job, stop_after=stop), dataset)
        applied = all_made(first, plan, min(stop, plan.steps))
        then = other(job, dataset, copied(first.snapshot()))
        assert [*applied, *all_made(then, plan)] == expected
        assert hashes(then) == hashes(whole)


def test_growing_stream(dataset: Dataset):
    """A step is made once all of its rows have arrived."""
    job = job_of(64, 32, 1, follow=True)
    loop, plan, applied = local(job, dataset), job.plan(dataset.manifest), []
    for known in (0, 63, 64, 200, ROWS):
        plan = plan.extended_to(known, ended=False)
        applied += all_made(loop, plan)
        assert loop.step == known // 64
    plan = plan.extended_to(ROWS, ended=True)
    applied += all_made(loop, plan)
    assert applied == all_made(whole := local(job, dataset), plan)
    assert hashes(loop) == hashes(whole)


@pytest.mark.parametrize("delay", [0, 2])
@pytest.mark.parametrize("kind", [local, looped])
@pytest.mark.parametrize(("batch", "step", "index"), [(1, 77, 0), (16, 4, 3), (64, 1, 3)])
def test_not_finite(dataset: Dataset, kind: Callable[..., Loop], batch: int, step: int, index: int, delay: int):
    """The steps before it are made; the error names step and microbatch, and the weights stay as they are."""
    job = job_of(batch, 4, delay, follow=True)
    plan = job.plan(dataset.manifest)
    loop, before = (kind(job, dataset, begin(steep())) for _ in range(2))
    all_made(before, plan, step)
    for _ in range(2):
        with pytest.raises(TrainingError, match=rf"\bstep {step}: .* microbatch {index} "):
            all_made(loop, plan)
        assert loop.step == step
        assert hashes(loop) == hashes(before)


@pytest.mark.parametrize("delay", [0, 2])
def test_update_too_large(dataset: Dataset, delay: int, monkeypatch: pytest.MonkeyPatch):
    """An update that is too large is refused, and a smaller one can follow."""
    job = job_of(8, 8, delay)
    plan, loop, other = job.plan(dataset.manifest), local(job, dataset), local(job, dataset)
    monkeypatch.setattr(SGD, "step_size", lambda _, version, *__: 0.1 if version < 5 else 1e30)
    with pytest.raises(TrainingError, match=r"\bstep 5: .* finite gradients"):
        all_made(loop, plan)
    monkeypatch.setattr(SGD, "step_size", lambda *_: 0.1)
    all_made(other, plan, 5)
    assert hashes(loop) == hashes(other)
    assert all_made(loop, plan) == all_made(other, plan)
    assert hashes(loop) == hashes(other)


@pytest.mark.parametrize("delay", [0, 2])
def test_another_optimizer(dataset: Dataset, delay: int, monkeypatch: pytest.MonkeyPatch):
    """The optimizer's own update is called for each step, with the exact step size, except for a refused step."""
    sizes = []

    class Noting(SGD):
        def update(self, weights: Weights, *rest: Any) -> None:
            sizes.append(rest[2])
            super().update(weights, *rest)

    job = job_of(64, 32, delay)
    plan, plain = job.plan(dataset.manifest), local(job, dataset)
    monkeypatch.setattr(local_steps, "SGD", Noting)
    loop = local(job, dataset)
    assert all_made(loop, plan) == all_made(plain, plan)
    assert hashes(loop) == hashes(plain)
    assert sizes == [SGD(job.config).step_size(version, plan.steps) for version in range(plan.steps)]
    job = job_of(16, 4, delay, follow=True)
    loop = local(job, dataset, begin(steep()))
    sizes.clear()
    with pytest.raises(TrainingError, match=r"\bstep 4: .* microbatch 3 "):
        all_made(loop, job.plan(dataset.manifest))
    assert loop.step == len(sizes) == 4


def test_order_of_updates(dataset: Dataset):
    """Steps are made in any order, each from the version that it reads; consecutive steps share a call."""
    job = job_of(64, 32)
    plan = job.plan(dataset.manifest)
    order = [(0, 0), (1, 0), (2, 1), (4, 1), (3, 3), (5, 4), (6, 6), (7, 5), (9, 8), (8, 6)]
    loop = LocalSteps(job.config, dataset, plan, begin(), np.array(order, np.int64))
    calls = list(made(loop, plan))
    assert [update for applied in calls for update, _ in applied] == order
    assert all(b.update.step == a.update.step + 1 for applied in calls for a, b in pairwise(applied))
    assert len(calls) < len(order)
    worker, gradient, versions = Worker(dataset, plan, SHAPE), Weights(SHAPE), [Weights.draw(SHAPE, 1)]
    for version, (step, read) in enumerate(order):
        (root,) = plan.units_for(step, (1,))
        worker.compute(Unit(step, read, root), versions[read], gradient)
        versions.append(Weights(SHAPE))
        rate = SGD(job.config).step_size(version, plan.steps, version - read)
        SGD(job.config).update(versions[-2], gradient.flat, gradient.flat[:0], rate, versions[-1])
    assert loop.weights.sha256() == versions[-1].sha256()


def test_start_is_copied(dataset: Dataset):
    job, start = job_of(64, 32), begin()
    all_made(local(job, dataset, start), job.plan(dataset.manifest))
    assert start.weights.sha256() == Weights.draw(SHAPE, 1).sha256()
