"""Plots as SVG, for light and dark pages."""

import math
import re

import pytest

from ddmlp.reporting.plots import COLOURS, INK, MAX_POINTS, MAX_RUNS, Curve, curves, histogram, line_style
from tests.support.html import Page


def points(svg):
    """The number of points of each line."""
    return [len(re.findall(r"[ML] ", path)) for path in re.findall(r'd="([^"]*)"', svg)]


def test_simple():
    svg = curves([Curve(0, [0, 1000], [1.0, 0.5]), Curve(1, [500], [0.75], "dots")], "E")
    page = Page(svg)
    assert page.elements[0][0] == "svg"
    assert "rows trained on" in page.text
    assert COLOURS[0] in svg
    assert COLOURS[1] in svg


@pytest.mark.parametrize(
    "svg",
    [
        lambda: curves([Curve(0, [0, 1], [1, 2])], "y"),
        lambda: curves([Curve(0, [0, 1], [1, 2])], "y", log=True),
        lambda: histogram({0: {0: 3, 1: 4}, 1: {2: 5}}, "x"),
    ],
)
def test_page_colours(svg):
    text = svg()
    assert INK not in text
    assert "currentColor" in text
    assert "#000000" not in text
    assert "#ffffff" not in text
    assert Page(text).outside() == []
    assert svg() == text


@pytest.mark.parametrize("values", [[], [0.0, 0.0], [math.nan], [math.nan, 1.0, 0.0], [5.0]])
@pytest.mark.parametrize("log", [False, True])
def test_any_values(values, log):
    assert curves([Curve(0, list(range(len(values))), values)], "y", log=log).startswith("<svg")


def test_long_curve():
    many = list(range(100_000))
    svg = curves([Curve(0, many, [float(value % 7) for value in many])], "y")
    assert max(points(svg)) <= MAX_POINTS + 2
    assert len(svg) < 60_000


def test_line_styles_differ():
    assert len({line_style(run) for run in range(MAX_RUNS)}) == MAX_RUNS
