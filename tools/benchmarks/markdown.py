"""Markdown tables."""

from collections.abc import Iterable, Sequence

from tools.benchmarks.chapter import Figures, Spread

NOT_INSTALLED = "not installed"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table: its heads, and a line for each row."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, ["---"] * len(heads), *rows])


def spread(figures: Figures | Spread, form: str = ",.0f") -> str:
    """Median, lowest and highest of the repeats."""
    if figures is None:
        return NOT_INSTALLED
    return (figures if isinstance(figures, Spread) else Spread.of(figures)).shown(form)


def ratio(found: Spread | None, form: str = ".2f") -> str:
    return "" if found is None else f"{found.median:{form}}"
