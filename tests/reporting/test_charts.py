"""Plots as SVG that fits into a page of any colour."""

import math
import re

import pytest

from ddmlp.reporting.charts import COLOURS, INK, MOST_RUNS, POINTS, Curve, colour, curves, dashed, histogram
from tests.support.html import Page


def points(svg):
    """How many points each line has."""
    return [len(re.findall(r"[ML] ", path)) for path in re.findall(r'd="([^"]*)"', svg)]


def test_simple():
    svg = curves([Curve(0, [0, 1000], [1.0, 0.5]), Curve(1, [500], [0.75], "dots")], "E", 'a "plot" & more')
    page = Page(svg)
    assert page.elements[0][0] == "svg"
    assert (page.elements[0][1]["role"], page.elements[0][1]["aria-label"]) == ("img", 'a "plot" & more')
    assert "rows seen" in page.text
    assert COLOURS[0] in svg
    assert COLOURS[1] in svg


@pytest.mark.parametrize(
    "svg",
    [
        lambda: curves([Curve(0, [0, 1], [1, 2])], "y", "a"),
        lambda: curves([Curve(0, [0, 1], [1, 2])], "y", "a", log=True),
        lambda: histogram({0: {0: 3, 1: 4}, 1: {2: 5}}, "x", "a"),
    ],
)
def test_text_and_axes_are_of_the_pages_colour_on_no_ground(svg):
    text = svg()
    assert INK not in text
    assert "currentColor" in text
    assert "#000000" not in text
    assert "#ffffff" not in text
    assert "<style" not in text
    assert "http" not in text
    assert svg() == text


@pytest.mark.parametrize("values", [[], [0.0, 0.0], [math.nan], [math.nan, 1.0, 0.0], [5.0]])
@pytest.mark.parametrize("log", [False, True])
def test_any_values_make_a_plot(values, log):
    assert "<svg" in curves([Curve(0, list(range(len(values))), values)], "y", "a", log=log)


def test_a_long_curve_is_thinned_and_ends_where_it_ended():
    many = list(range(100_000))
    svg = curves([Curve(0, many, [float(value % 7) for value in many])], "y", "a")
    assert max(points(svg)) <= POINTS + 2
    assert len(svg) < 60_000


def test_every_run_is_drawn_in_a_way_of_its_own():
    assert len({(colour(run), dashed(run)) for run in range(MOST_RUNS)}) == MOST_RUNS
