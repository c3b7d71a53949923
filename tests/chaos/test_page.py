"""The page of what `make chaos` has shown is as it writes it."""

from pathlib import Path

from tests.chaos.__main__ import PARTS
from tests.chaos.page import Page
from tests.support.runs import Row

CHAOS = Path(__file__).parents[2] / "docs" / "chaos.md"


def test_simple():
    page = Page(CHAOS, PARTS)
    assert len(page.parts) > 5
    assert page.text == CHAOS.read_text()
    assert all(row.fine for _, rows in page.parts.values() for row in rows)


def test_one_part_again(tmp_path: Path):
    """The other parts stand; the summary is of all."""
    path = tmp_path / "page.md"
    for part, words in (("hosts", "a cut"), ("matrix", "a kill"), ("matrix", "another kill")):
        Page(path, PARTS).replace(part, [Row(words, "always", "2", "1 of 1", part == "hosts")])
    rows = [line for line in path.read_text().splitlines() if line.startswith("| a")]
    assert rows == [
        "| another kill | always | 1 of 1 | **NO** |",
        "| a cut | always | 1 of 1 | yes |",
        "| another kill | always | 2 | 1 of 1 | **NO** |",
        "| a cut | always | 2 | 1 of 1 | yes |",
    ]
    assert Page(path, PARTS).text == path.read_text()
