"""HTML in which what is text stays text."""

import re

from hypothesis import given
from hypothesis import strategies as st

from ddmlp.reporting.markup import Html, comparison, join, table, tag
from tests.support.html import Page


def test_simple():
    assert tag("p", "a < b", tag("b", "c"), class_="d", aria_label="e") == (
        '<p class="d" aria-label="e">a &lt; b<b>c</b></p>'
    )
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8">'
    assert join(["&", Html("<br>")]) == "&amp;<br>"


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"])))
def test_text_is_read_back_as_it_was(text):
    page = Page(tag("p", text, title=text))
    assert page.elements == [("p", {"title": text})]
    assert page.text == " ".join(text.split())


def test_a_table_has_a_heading_for_each_row_and_column():
    found = table([["a", "1"], ["b", "<"]], ["", "n"], class_="c")
    assert found.count('<th scope="row">') == found.count('<th scope="col">') == 2
    assert Page(found).rows(found, "c") == [["", "n"], ["a", "1"], ["b", "&lt;"]]


def test_a_comparison_marks_what_differs_from_the_first():
    found = comparison(["x", "y"], [{"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"}])
    assert found.count("<td>") == 6
    assert "<mark>" not in found
    found = comparison(["x", "y"], [{"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"}], marked=True)
    assert re.findall("<mark>(.*?)</mark>", found) == ["3", "4"]
    assert "mark" not in comparison(["x"], [{"a": "1"}], marked=True)
    assert comparison(["x"], [{}]) == ""
