"""The benchmark's frame: turns, ratios, bars, the record and the page. Nothing here is timed."""

import json
from pathlib import Path

import pytest

from tests.support.helpers import inside
from tools.benchmarks import command, page, record
from tools.benchmarks.chapter import Bar, Chapter, Found, Setting, Spread, interleaved, median_ratio
from tools.benchmarks.markdown import spread, table


def chapter(name: str, figures: list[float]) -> Chapter:
    """One that finds `figures`, which are to be 2 at least."""

    def measure(setting: Setting) -> Found:
        return {"figures": figures, "repeats": setting.repeats}

    def bars(found: Found) -> list[Bar]:
        return [Bar(f"{name} is fast", Spread.of(found["figures"]), least=2)]

    return Chapter(name, name.title(), measure, lambda found: f"Found {found['figures']}.", bars)


def test_contestants_take_turns():
    turns = []

    def contestant(name: str):
        return lambda: turns.append(name) or float(len(turns))

    found = interleaved({"a": contestant("a"), "absent": None, "b": contestant("b")}, 3)
    assert turns == ["a", "b"] * 3
    assert found == {"a": [1, 3, 5], "absent": None, "b": [2, 4, 6]}


def test_a_ratio_is_taken_repeat_by_repeat():
    # The machine was twice as fast in the second repeat: the ratio does not see it.
    assert median_ratio([30, 60, 33], [10, 20, 10]) == Spread(3, 3, 3.3)
    assert median_ratio([30, 60], None) is None
    assert median_ratio(None, [1]) is None


@pytest.mark.parametrize(
    ("bar", "asked", "reached", "verdict"),
    [
        (Bar("", Spread(1.5, 1, 2), least=1.5), "at least 1.5", True, "reached"),
        (Bar("", Spread(1.2, 1, 2), least=1.5), "at least 1.5", False, "missed by 20.0 %"),
        (Bar("", Spread(1.0, 1, 2), most=1.0, unit="ms"), "at most 1 ms", True, "reached"),
        (Bar("", Spread(1.5, 1, 2), most=1.0, unit="ms"), "at most 1 ms", False, "missed by 50.0 %"),
        (Bar("", None, least=4), "at least 4", False, "not measured"),
    ],
)
def test_a_bar(bar: Bar, asked: str, reached: bool, verdict: str):
    assert (bar.asked, bar.reached, bar.verdict) == (asked, reached, verdict)
    assert len(bar.row) == 4


def test_a_table():
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
    assert spread([1000, 3000, 2000]) == "2,000 (1,000 to 3,000)"
    assert spread(None) == "not installed"


def run(out: Path, data: Path, chapters: list[Chapter], *flags: str) -> dict:
    command.main([str(data), "--out", str(out), "--repeats", "2", *flags], chapters)
    return json.loads((out / record.NAME).read_text())["chapters"]


def test_only_keeps_the_other_chapters(data: Path, tmp_path: Path):
    first = run(tmp_path, data, [chapter("one", [1.0]), chapter("two", [3.0])])
    assert first["one"]["found"] == {"figures": [1.0], "repeats": 2}
    text = (tmp_path / page.NAME).read_text()
    assert "1 of 2 bars are reached" in text
    assert "- One: one is fast: missed by 50.0 %" in text
    second = run(tmp_path, data, [chapter("one", [4.0]), chapter("two", [5.0])], "--only", "one")
    assert second == {**first, "one": {**first["one"], "found": {"figures": [4.0], "repeats": 2}}}
    text = (tmp_path / page.NAME).read_text()
    assert "2 of 2 bars are reached" in text
    assert text.index("Found [4.0].") < text.index("Found [3.0].")


def test_the_page_says_where_a_chapter_was_measured_elsewhere(data: Path, tmp_path: Path):
    chapters = [chapter("one", [1.0]), chapter("two", [3.0])]
    run(tmp_path, data, chapters)
    assert (tmp_path / page.NAME).read_text().count("Measured on") == 1
    entries = record.read(tmp_path)
    entries["two"].conditions["processor"] = "another"
    record.write(tmp_path, entries)
    run(tmp_path, data, chapters, "--only")
    assert (tmp_path / page.NAME).read_text().count("Measured on: another") == 1


def test_what_cannot_be_measured_is_said_in_a_line(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for flags, status, said in [
        ([tmp_path], 2, f"error: {tmp_path} has no dataset train/"),
        ([data, "--repeats", "0"], 2, "error: --repeats is 0"),
        ([data, "--only", "nothing"], 2, "error: argument --only"),
    ]:
        done = inside(command.main, *flags)
        assert (done.returncode, done.stderr.count("\n")) == (status, 1)
        assert done.stderr.startswith(said)
    (tmp_path / record.NAME).write_text("[]")
    done = inside(command.main, data, "--out", tmp_path)
    assert done.returncode == 1
    assert "is not what tools/bench.py wrote" in done.stderr
