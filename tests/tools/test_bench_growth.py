"""The chapter on growth: the sweep, the plot, and the forecast."""

from xml.etree import ElementTree

import pytest

from tools.benchmarks import growth, growth_plot
from tools.benchmarks.cost_model import CostModel, Network, Step, Terms
from tools.benchmarks.forecast import Case, forecast, plainly
from tools.benchmarks.sweep import VALUES, Point, along, sweep

MODEL = CostModel(Terms(2e-4, 1e-6, 5e-11, 8e-10, 5e-5), error=0.0)
FOUND = {"cores": 2, "ends": 794, "points": []}
FOUND["points"] = [
    {**vars(point), "speeds": [growth.predicted(MODEL, point, FOUND) * each for each in (0.9, 1, 1.2)]}
    for point in sweep()
]


def test_a_sweep_has_every_value_once():
    points = sweep()
    assert len(set(points)) == len(points)
    for name, values in VALUES.items():
        assert {getattr(point, name) for point in along(name)} == set(values)
        assert set(along(name)) <= set(points)
        others = {
            tuple(value for key, value in vars(point).items() if key not in (name, "workers")) for point in along(name)
        }
        assert len(others) == 1
    assert {point.workers for point in along("hidden")} == {0, 2}


def test_two_workers_can_share_every_step():
    for point in sweep():
        assert point.step(794).on_cores(2).rows <= point.batch / min(2, max(1, point.workers))


def test_a_point_is_a_training(data):
    assert growth.speed(Point(batch=100, hidden=5), data, seconds=0.001) > 0


def test_the_model_is_fitted_to_the_medians():
    assert growth.fitted(FOUND).costs == pytest.approx(MODEL.costs, rel=1e-6)


def test_the_chapter_shows_points_model_and_forecast():
    text = growth.show(FOUND)
    assert f"({growth_plot.NAME})" in text
    assert text.count("\n| 1,024 | 300 | 1 |") == 4  # workers
    assert "| a step, whatever its size | 200 µs |" in text
    assert "workers do not pay" in text


def test_the_plot_is_a_picture_without_a_background(tmp_path):
    growth.draw(FOUND, tmp_path)
    first = (tmp_path / growth_plot.NAME).read_bytes()
    picture = ElementTree.fromstring(first)
    assert picture.tag.endswith("svg")
    patch = next(each for each in picture.iter() if each.get("id") == "patch_1")
    assert "fill: none" in patch[0].get("style")
    growth.draw(FOUND, tmp_path)
    assert (tmp_path / growth_plot.NAME).read_bytes() == first


def test_the_forecast_says_where_workers_do_not_pay():
    poor = Case(MODEL, Step(1024, 128, 238_200, 0), Network(1e9, 5e-5, 1))
    rich = Case(MODEL, Step(10**6, 128, 100, 0), Network(1e15, 0.0, 256))
    said = plainly([poor, rich])
    assert "- 256 workers are slower than fewer with 1,024 rows and 1 server." in said
    assert "- 256 workers are slower than one process with 1,024 rows and 1 server." in said
    assert "1,000,000" not in said
    assert "- 256 workers are slower than fewer with every batch and number of servers." in plainly([poor])
    assert "every worker pays" in plainly([rich])


def test_the_forecast_has_a_line_for_each_batch_and_number_of_servers():
    lines = [line for line in forecast(MODEL, 238_200).splitlines() if line.startswith("| 1")]
    assert len(lines) == 9
    assert lines[0].startswith("| 1,024 | 1 |")
