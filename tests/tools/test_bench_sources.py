"""The benchmarks of streams in brokers and of data in a store, from made-up figures. Nothing is timed here."""

from pathlib import Path

import numpy as np
import pytest

from ddmlp.data.sources.payloads import Payloads
from tests.support.brokers import SERVERS
from tests.tools.test_bench_questions import entry
from tools.benchmarks import sources, sources_table, stores
from tools.benchmarks.record import Record


def test_sources():
    speeds = {sources.CLIENT: [100.0, 200.0], sources.READ: [80.0, 100.0], sources.WRITTEN: [50.0, 50.0]}
    found = entry({"redis, raw": speeds, "kafka, arrow": dict.fromkeys(speeds)})
    targets = {target.what: target for target in sources.targets(found)}
    assert len(targets) == len(sources.CLIENTS) * len(sources.FORMS)
    ((what, target),) = ((what, target) for what, target in targets.items() if target.figures)
    assert what.endswith("redis, raw")
    assert (target.figures, target.verdict) == ([0.8, 0.5], "missed by 7.1 %")


def test_all_of_a_reading_counts():
    """But what arrives first, with which the time begins."""
    begun = []

    def reading():
        begun.append(len(begun))
        yield from [10, 20, 30]
        raise AssertionError("enough has arrived")

    clock = iter(range(100))
    found = sources.speed(reading, 40, 2.0, clock=lambda: next(clock))
    assert (found, begun) == ({"rows/s": 50.0}, [0, 1])
    with pytest.raises(AssertionError, match="at once"):
        sources.speed(reading, 10, 2.0)


def test_messages():
    pixels, labels = np.arange(5 * 4, dtype=np.uint8).reshape(5, 2, 2), np.arange(5, dtype=np.uint8)
    for form, count in (("raw", 5), ("arrow", 1)):
        messages = sources.messages_of(form, pixels, labels)
        assert len(messages) == count
        decoder = Payloads(form, 10, (2, 2))
        found = [rows for message in messages for rows in decoder.decode(*message)]
        assert np.array_equal(np.concatenate([rows.pixels for rows in found]), pixels)
        assert np.array_equal(np.concatenate([rows.labels for rows in found]), labels)


def test_clients_have_servers():
    assert sources.CLIENTS.keys() <= SERVERS.keys()


def test_stores():
    names = stores.LOCAL, stores.PARQUET, stores.SHARDS
    found = entry({"": dict(zip(names, [[100.0], [95.0], [45.0]], strict=True))})
    assert [target.verdict for target in stores.targets(found)] == ["reached", "missed by 50.0 %"]


PAGE = "before\n\n| stream | old |\n| --- | --- |\n| x | 1 |\n\nbetween\n\n| data | old |\n\nafter\n"


def test_table():
    speeds = {sources.CLIENT: [100_000.0], sources.READ: [80_000.0], sources.WRITTEN: [50_000.0]}
    seconds = {stores.LOCAL: {stores.COMMAND: [3.5], "rows/s": [1e5]}, stores.PARQUET: None, stores.SHARDS: None}
    found = Record({"sources": entry({"redis, raw": speeds, "nats, raw": dict.fromkeys(speeds)})})
    text = sources_table.updated(PAGE, found)
    assert "| Redis, an image a message | 80,000 | 0.80 | 50,000 |" in text
    assert "NATS" not in text
    assert "old" in text
    found.benchmarks["stores"] = entry({"": {}})
    found.benchmarks["stores"].figures[""] = seconds
    text = sources_table.updated(text, found)
    assert f"| {stores.LOCAL} | 100,000 | 3.50 |" in text
    assert "old" not in text
    assert sources_table.updated(text, found) == text


def test_table_in_docs():
    """docs/sources.md has the figures of the record that it names."""
    docs = Path(__file__).parents[2] / "docs"
    page = (docs / "sources.md").read_text()
    assert "(benchmarks/avx512/benchmarks.md" in page
    record = Record.read(docs / "benchmarks" / "avx512")
    assert {"sources", "stores"} <= record.benchmarks.keys()
    assert sources_table.updated(page, record) == page
