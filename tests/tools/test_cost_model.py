"""The cost model: what it knows of a step, that a fit finds the costs behind it, and what follows for clusters."""

from dataclasses import replace

import numpy as np
import pytest

from tools.benchmarks.cost_model import CostModel, Network, Step, Terms

COSTS = Terms(steps=2e-4, rows=1e-6, products=5e-11, passes=8e-10, messages=5e-5)
MODEL = CostModel(COSTS, error=0.0)
ETHERNET = Network(bandwidth=1.25e9, latency=50e-6, servers=1)
STEP = Step(rows=1024, microbatch=128, weights=794 * 300, workers=16)
SWEEP = [
    Step(rows, 128, 794 * hidden, workers).on_cores(2)
    for rows in (64, 256, 1024, 4096)
    for hidden in (100, 300, 800)
    for workers in (0, 1, 2, 4)
]


def speeds(step=STEP, network=ETHERNET, workers=(1, 4, 16, 64, 256)):
    return [step.rows / MODEL.spread(step._replace(workers=each), network) for each in workers]


def test_the_work_of_a_step():
    # By hand: 8 microbatches, 4 on each of 2 cores; 4 gradients written one after another, 1 added, 1 sum applied.
    assert Step(1000, 128, 10, workers=2).on_cores(2) == (1, 512, 5120, 60, 2)
    # One process: all of it, and no message.
    assert Step(1000, 128, 10, workers=0).on_cores(2) == (1, 1000, 10_000, 90, 0)
    # Workers beyond the cores add messages; beyond the microbatches, nothing.
    assert Step(1000, 128, 10, workers=4).on_cores(2) == (1, 512, 5120, 80, 4)
    assert Step(200, 128, 10, workers=4).on_cores(8) == (1, 128, 1280, 30, 2)
    # On machines each of 2 servers adds half of each of 4 gradients.
    assert Step(1000, 128, 10, workers=4).on_machines(2) == (1, 250, 2500, 40, 4)
    assert Step(1000, 128, 10, workers=4).on_machines(8).messages == 8


def test_a_fit_finds_the_costs():
    found = CostModel.fit([(work, MODEL.seconds(work)) for work in SWEEP])
    assert found.costs == pytest.approx(COSTS, rel=1e-6)
    assert found.error == pytest.approx(0, abs=1e-9)


def test_a_fit_finds_the_costs_through_noise():
    noise = np.random.default_rng(0).normal(1, 0.02, len(SWEEP))
    found = CostModel.fit([(work, MODEL.seconds(work) * each) for work, each in zip(SWEEP, noise, strict=True)])
    assert found.costs == pytest.approx(COSTS, rel=0.2)
    assert 0.005 < found.error < 0.03


def test_no_cost_is_negative():
    # A step with messages is faster here than one without: no cost of a message explains that.
    odd = [(work, MODEL.seconds(work) * (0.5 if work.messages else 1.0)) for work in SWEEP]
    found = CostModel.fit(odd)
    assert min(found.costs) >= 0
    assert found.costs.messages == 0
    assert found.costs.products > 0


def test_without_messages_their_cost_is_not_guessed():
    alone = [(work, MODEL.seconds(work)) for work in SWEEP if not work.messages]
    assert CostModel.fit(alone).costs.messages == 0


def test_the_fuller_link_decides():
    seconds = 4 * STEP.weights / 1.25e9  # for one array
    alone = replace(ETHERNET, latency=0.0)
    assert alone.seconds(STEP._replace(workers=1)) == pytest.approx(2 * seconds)
    assert alone.seconds(STEP) == pytest.approx(2 * 16 * seconds)
    assert replace(alone, servers=4).seconds(STEP) == pytest.approx(2 * 4 * seconds)
    assert replace(alone, servers=64).seconds(STEP) == pytest.approx(2 * seconds)
    assert ETHERNET.seconds(STEP) == pytest.approx(alone.seconds(STEP) + 1e-4)


def test_a_better_network_is_faster():
    by_bandwidth = [speeds(network=replace(ETHERNET, bandwidth=each)) for each in (1e8, 1e9, 1e10)]
    by_latency = [speeds(network=replace(ETHERNET, latency=each)) for each in (1e-3, 1e-4, 1e-5)]
    by_servers = [speeds(network=replace(ETHERNET, servers=each), workers=(64, 256)) for each in (1, 4, 16)]
    for found in (by_bandwidth, by_latency, by_servers):
        assert (np.diff(found, axis=0) > 0).all()


def test_workers_pay_up_to_a_number():
    few = MODEL.most_paying(STEP, ETHERNET)
    around = speeds(workers=(few - 1, few, few + 1))
    assert around[1] == max(around)
    assert MODEL.most_paying(STEP._replace(rows=16_384), ETHERNET) > few
    assert MODEL.most_paying(STEP, replace(ETHERNET, servers=16)) > few
    assert MODEL.most_paying(STEP._replace(rows=3), replace(ETHERNET, bandwidth=1e15, latency=0.0)) <= 3
