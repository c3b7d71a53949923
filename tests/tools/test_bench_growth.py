"""The benchmark growth: its sweep, the fit of the cost model, and enlarged datasets."""

from pathlib import Path

import numpy as np
import pytest

from ddmlp.data.dataset import Dataset
from tools.benchmarks import enlarged_mnist, growth, page
from tools.benchmarks.cost_model import CostModel, Terms
from tools.benchmarks.enlarged_mnist import enlarge
from tools.benchmarks.peers.baseline import Rows
from tools.benchmarks.record import Entry, Record

MODEL = CostModel(Terms(2e-4, 1e-6, 5e-11, 8e-10, 5e-5, 8e-10), error=0.0)
GROWTH = Entry({"cores": 2}, 3, {})
for point in growth.sweep():
    case, name = point.names
    speed = point.batch / MODEL.seconds(point.step.on_cores(2))
    GROWTH.figures.setdefault(case, {})[name] = {"rows/s": [speed * each for each in (0.9, 1, 1.2)]}


def test_sweep():
    points = growth.sweep()
    assert len({point.names for point in points}) == len(points)
    assert {point.workers for point in points if point[:3] == growth.MIDDLE} == {0, 1, 2, 4}
    for point in points:
        assert sum(one != other for one, other in zip(point, growth.MIDDLE, strict=False)) <= 1
        assert {point._replace(workers=0), point._replace(workers=2)} <= set(points)


def test_two_workers():
    for point in growth.sweep():
        assert point.step.on_cores(2).rows <= point.batch / min(2, max(1, point.workers))


def test_fit_to_medians():
    assert growth.fit(GROWTH).costs == pytest.approx(MODEL.costs, rel=1e-6)
    point = growth.Point(64, 300, 1, 0)
    expected = point.batch / MODEL.seconds(point.step.on_cores(2))
    assert growth.predicted_speed(GROWTH, *point.names) == f"{expected:,.0f}"
    assert growth.predicted_speed(GROWTH, "another", "case") == ""


def test_costs_on_the_page(tmp_path: Path):
    record = Record({"growth": Entry({"processor": "p", "system": "s", **GROWTH.environment}, 3, GROWTH.figures)})
    page.write(tmp_path, [growth.BENCHMARK], record)
    text = (tmp_path / page.NAME).read_text()
    for line in ["a step of any size | 200", "scoring | 1", "and answered | 50"]:
        assert f"{line} µs |" in text
    assert "per 1,000 weights | 0.05 µs |" in text
    assert "applying a gradient | 0.8 µs |" in text
    assert text.count("\n| 131,072 | ") == 3


def test_enlarged_dataset(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(enlarged_mnist, "CHUNK", 300)
    train, again = (Rows.load(enlarge(data, 1_000, tmp_path / name) / "train") for name in ("out", "again"))
    assert len(train.labels) == 1_000
    assert len(Dataset(tmp_path / "out" / "test")) == 1_000
    assert np.array_equal(train.pixels, again.pixels)
    source = {pixels.tobytes(): label for pixels, label in zip(*Rows.load(data / "train"), strict=True)}
    assert [source[pixels.tobytes()] for pixels in train.pixels] == list(train.labels)
    assert len({pixels.tobytes() for pixels in train.pixels}) > 500  # rows are drawn at random
