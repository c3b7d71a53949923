"""The forecast of docs/scaling.md."""

from pathlib import Path

import pytest

from tools.benchmarks import scaling

PAGE = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text()


def test_simple():
    """The page has the tables that the model gives now."""
    assert scaling.markdown(scaling.traffic()) in PAGE
    assert scaling.markdown(scaling.speeds()) in PAGE


def test_traffic():
    """By hand: 794 rows of 448 numbers of 4 bytes; and 32 of these, divided."""
    array = 794 * 448 * 4 / 1e6
    row = scaling.traffic()[1]
    assert row == ["400", *(f"{amount:.1f} MB" for amount in (array, 32 * array, 16 * array, 8 * array))]


@pytest.mark.parametrize("link", scaling.LINKS)
def test_speeds(link):
    """More servers are faster for many workers; the size of the network hardly matters."""
    rows = [row for row in scaling.speeds() if row[0] == link]
    assert len(rows) == 9
    gains = {(row[1], row[2]): float(row[-2].split("(")[1].rstrip(")")) for row in rows}
    for hidden in ("400", "4,000", "40,000"):
        assert gains[hidden, "1"] < gains[hidden, "2"] < gains[hidden, "4"]
    for servers in "124":
        assert gains["400", servers] == pytest.approx(gains["40,000", servers], rel=0.1)
