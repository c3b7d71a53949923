"""The page benchmarks.md, rendered from the record with the template page.md.j2."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from ddmlp.files import write_whole
from tools.benchmarks import growth
from tools.benchmarks.benchmark import Benchmark
from tools.benchmarks.cost_model import forecast
from tools.benchmarks.record import Entry, Record
from tools.benchmarks.templates import templates

NAME = "benchmarks.md"


def write(folder: Path, suite: Sequence[Benchmark], record: Record) -> None:
    """Write the page into `folder`, with the benchmarks of `suite` that the record contains."""
    suite = [benchmark for benchmark in suite if benchmark.name in record.benchmarks]
    entries = {benchmark.name: record.benchmarks[benchmark.name] for benchmark in suite}
    environment = templates()
    environment.filters["number"] = number
    text = environment.get_template("page.md.j2").render(
        entries=entries,
        targets={benchmark.name: benchmark.targets(entries[benchmark.name]) for benchmark in suite},
        tables={benchmark.name: comparison(benchmark, entries[benchmark.name]) for benchmark in suite},
        spread=spread,
        fit=growth.fit,
        forecast=forecast,
    )
    write_whole(folder / NAME, text)


def comparison(benchmark: Benchmark, entry: Entry) -> list[list[str]]:
    """Return a table with a header row: one row per baseline, one column per quantity, then the ratios."""
    rows = [(case, name, found) for case, baselines in entry.figures.items() for name, found in baselines.items()]
    quantities = list(dict.fromkeys(quantity for *_, found in rows for quantity in found or ()))
    of, faster, column = benchmark.of, benchmark.faster, benchmark.column
    heads = ["", "", *quantities, *[f"of {of}"] * bool(of), *[f"{faster} is faster"] * bool(faster)]
    table, before = [[*heads, column[0]] if column else heads], None
    for case, name, found in rows:
        figures = ["not installed" if found is None else spread(found.get(each)) for each in quantities]
        ratios = [entry.ratio(case, *pair, quantities[0]) for pair in [(name, of), (faster, name)] if all(pair)]
        cells = [*figures, *(f"{statistics.median(ratio):.2f}" if ratio else "" for ratio in ratios)]
        more = [column[1](entry, case, name)] if column else []
        table.append([case if case != before else "", name.replace("ddmlp", "**ddmlp**"), *cells, *more])
        before = case
    first = 0 if any(entry.figures) else 1  # no column for the case if there is only one, without a name
    return [cells[first:] for cells in table]


def spread(figures: Sequence[float] | None) -> str:
    """Format the median of the repeats, with the lowest and the highest."""
    if figures is None:
        return ""
    median, low, high = (number(each(figures)) for each in (statistics.median, min, max))
    return median if low == high else f"{median} ({low} to {high})"


def number(figure: float) -> str:
    """Format a figure with three significant digits, or as an integer if it is at least 1,000."""
    return f"{figure:,.0f}" if abs(figure) >= 1000 else f"{figure:.3g}"
