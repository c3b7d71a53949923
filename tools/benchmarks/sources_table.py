"""The tables of docs/sources.md, from the record of the benchmarks."""

import re
import statistics
from collections.abc import Iterator
from pathlib import Path

from ddmlp.files import write_whole
from tools.benchmarks import sources, stores
from tools.benchmarks.page import number
from tools.benchmarks.record import Entry, Record

PAGE = "sources.md"
NAMES = {"redis": "Redis", "kafka": "Kafka", "nats": "NATS", "rabbitmq": "RabbitMQ"}
FORMS = {"raw": "an image a message", "arrow": "1,000 images a message"}


def write(folder: Path, record: Record) -> None:
    """Update the page to which the benchmarks in `folder` belong, if there is one."""
    page = folder.resolve().parents[1] / PAGE
    if page.exists() and f"({folder.parent.name}/{folder.name}/" in (text := page.read_text()):
        write_whole(page, updated(text, record))


def updated(text: str, record: Record) -> str:
    """Return the text of the page with the figures of a record; a table without figures stays as it is."""
    for name, rows in (("sources", _streams), ("stores", _stores)):
        if (entry := record.benchmarks.get(name)) is not None:
            head, *body = (f"| {' | '.join(row)} |\n" for row in rows(entry))
            table = "".join([head, f"|{' --- |' * (head.count('|') - 1)}\n", *body])
            first = re.escape(head.split("|")[1])
            (before, after) = re.split(rf"^\|{first}\|.*\n(?:\|.*\n)*", text, maxsplit=1, flags=re.MULTILINE)
            text = before + table + after
    return text


def _streams(entry: Entry) -> Iterator[list[str]]:
    yield ["stream", "rows/s", "of the client library alone", "rows/s, written to disk"]
    for case, baselines in entry.figures.items():
        kind, form = case.split(", ")
        ratio = entry.ratio(case, sources.READ, sources.CLIENT)
        read, written = (entry.get(case, name) for name in (sources.READ, sources.WRITTEN))
        if baselines and ratio and read and written:
            yield [f"{NAMES[kind]}, {FORMS[form]}", _median(read), f"{statistics.median(ratio):.2f}", _median(written)]


def _stores(entry: Entry) -> Iterator[list[str]]:
    yield ["data", "rows/s of the training", stores.COMMAND]
    for name in (stores.LOCAL, stores.PARQUET, stores.SHARDS):
        speed, seconds = entry.get("", name), entry.get("", name, stores.COMMAND)
        if speed and seconds:
            yield [name, _median(speed), f"{statistics.median(seconds):.2f}"]


def _median(figures: list[float]) -> str:
    return number(statistics.median(figures))
