"""The cost model: the work of a step, the fit of the costs, and the forecast for clusters."""

import numpy as np
import pytest

from tools.benchmarks import cost_model
from tools.benchmarks.cost_model import CostModel, Step, Terms, forecast

COSTS = Terms(steps=2e-4, rows=1e-6, products=5e-11, passes=8e-10, messages=5e-5, arrays=8e-10)
MODEL = CostModel(COSTS, error=0.0)
STEP = Step(rows=1024, microbatch=128, weights=794 * 300, workers=16)
SWEEP = [
    Step(rows, 128, 794 * hidden, workers).on_cores(2)
    for rows in (64, 256, 1024, 4096)
    for hidden in (100, 300, 800)
    for workers in (0, 1, 2, 4)
]


def speeds(servers=1, workers=(1, 4, 16, 64, 256)):
    return [STEP.rows / MODEL.cluster_seconds(STEP._replace(workers=each), servers) for each in workers]


def test_work():
    # By hand: 8 microbatches, 4 on each of 2 cores; a core writes 4 gradients, then 1 is added and the sum is applied.
    assert Step(1000, 128, 10, workers=2).on_cores(2) == (1, 512, 5120, 60, 2, 0)
    # One process does all of the work, without messages.
    assert Step(1000, 128, 10, workers=0).on_cores(2) == (1, 1000, 10_000, 90, 0, 0)
    # More workers than cores add messages; more workers than microbatches change nothing.
    assert Step(1000, 128, 10, workers=4).on_cores(2) == (1, 512, 5120, 80, 4, 0)
    assert Step(200, 128, 10, workers=4).on_cores(8) == (1, 128, 1280, 30, 2, 0)
    # On a cluster, each worker writes 2 gradients, and each of 2 servers adds its half of 4 gradients.
    assert Step(1000, 128, 10, workers=4).on_machines(2) == (1, 250, 2500, 20, 4, 20)
    # If the workers share 2 machines, 2 gradients are added there, and the servers have 2.
    assert Step(1000, 128, 10, workers=4, nodes=2).on_machines(2) == (1, 250, 2500, 40, 2, 10)
    assert Step(1000, 128, 10, workers=4).on_machines(8).messages == 8


def test_fit():
    found = CostModel.fit([(work, MODEL.seconds(work)) for work in SWEEP])
    assert found.costs == pytest.approx(COSTS, rel=1e-6)
    assert found.error == pytest.approx(0, abs=1e-9)


def test_fit_with_noise():
    noise = np.random.default_rng(0).normal(1, 0.02, len(SWEEP))
    found = CostModel.fit([(work, MODEL.seconds(work) * each) for work, each in zip(SWEEP, noise, strict=True)])
    assert found.costs == pytest.approx(COSTS, rel=0.2)
    assert 0.005 < found.error < 0.03


def test_no_negative_costs():
    # Here steps with messages are faster than those without, which no cost of a message explains.
    measured = [(work, MODEL.seconds(work) * (0.5 if work.messages else 1.0)) for work in SWEEP]
    found = CostModel.fit(measured)
    assert min(found.costs) >= 0
    assert found.costs.messages == 0
    assert found.costs.products > 0


def test_fit_without_messages():
    alone = [(work, MODEL.seconds(work)) for work in SWEEP if not work.messages]
    assert CostModel.fit(alone).costs.messages == 0


def test_busiest_link(monkeypatch):
    found = STEP.exchange_seconds(1)
    monkeypatch.setattr(cost_model, "LATENCY", 0.0)
    seconds = cost_model.HEADERS * 4 * STEP.weights / 1.25e9  # per array
    assert STEP._replace(workers=1).exchange_seconds(1) == pytest.approx(2 * seconds)
    # A third of the gradients arrives while weights are sent, but never all of them.
    assert STEP.exchange_seconds(1) == pytest.approx((16 + 16 * 2 / 3) * seconds)
    assert STEP.exchange_seconds(4) == pytest.approx((4 + 4 * 2 / 3) * seconds)
    assert STEP.exchange_seconds(16) == pytest.approx((1 + 1) * seconds)
    assert STEP.exchange_seconds(64) == pytest.approx(2 * seconds)
    assert found == pytest.approx(STEP.exchange_seconds(1) + 1e-4)
    # Four machines with four workers each, and gradients of two bytes for a weight.
    fewer = STEP._replace(nodes=4, answered=2.0)
    assert fewer.exchange_seconds(1) == pytest.approx((4 + 4 * 2 / 3 / 2) * seconds)
    assert fewer.exchange_seconds(2) == pytest.approx((2 + 2 * 2 / 3 / 2) * seconds)
    # The gradients are added while others arrive, unless that takes longer.
    assert fewer.exchange_seconds(1, adding=0.4 * seconds) == fewer.exchange_seconds(1)
    assert fewer.exchange_seconds(1, adding=3 * seconds) == pytest.approx((4 + 3) * seconds)


@pytest.mark.parametrize(("constant", "values"), [("BANDWIDTH", (1e8, 1e9, 1e10)), ("LATENCY", (1e-3, 1e-4, 1e-5))])
def test_faster_network(constant, values, monkeypatch):
    found = []
    for value in values:
        monkeypatch.setattr(cost_model, constant, value)
        found.append(speeds())
    assert (np.diff(found, axis=0) > 0).all()


def test_more_servers():
    assert (np.diff([speeds(servers, workers=(64, 256)) for servers in (1, 4, 16)], axis=0) > 0).all()


def test_best_workers(monkeypatch):
    best = MODEL.best_workers(STEP, 1)
    around = speeds(workers=(best - 1, best, best + 1))
    assert around[1] == max(around)
    assert MODEL.best_workers(STEP._replace(rows=16_384), 1) > best
    assert MODEL.best_workers(STEP, 16) > best
    monkeypatch.setattr(cost_model, "BANDWIDTH", 1e15)
    assert MODEL.best_workers(STEP._replace(rows=3), 1) <= 3


def test_forecast():
    heads, *rows = forecast(MODEL)
    assert heads[2] == "16 workers"
    assert [row[:2] for row in rows[:2]] == [["1,024", "1"], ["1,024", "4"]]
    speed = speeds(servers=4, workers=[16])[0]
    gain = speed / (STEP.rows / MODEL.seconds(STEP._replace(workers=0).on_cores(1)))
    assert rows[1][2] == f"{speed:,.0f} ({gain:.1f})"
