"""The harness of the benchmarks: order, ratios, targets, the record and the page. Nothing is timed here."""

from pathlib import Path

import msgspec
import pytest

from tests.support.helpers import inside
from tools.benchmarks import command, page
from tools.benchmarks.benchmark import Benchmark, Settings, Target, per_second
from tools.benchmarks.command import SUITE
from tools.benchmarks.record import NAME, Entry, Record

ENVIRONMENT = {"processor": "fast", "cores": 2, "system": "Linux"}
PAGES = sorted(path.parent for path in Path(__file__).parents[2].glob("docs/benchmarks/*/benchmarks.json"))


def benchmark(name: str, *figures: float) -> Benchmark:
    """Return a benchmark that measures these figures, with a target of at least 2."""

    def cases(_settings: Settings):
        left = iter(figures)
        yield "", {"a": lambda: {"rows/s": next(left)}, "absent": None}

    def targets(entry: Entry) -> list[Target]:
        return [Target(f"{name} is fast", entry.get("", "a", "rows/s"), least=2)]

    return Benchmark(name, cases, targets, of="a", faster="a")


def test_order():
    calls = []

    def measure(name: str):
        return lambda: calls.append(name) or {"s": float(len(calls)), "MB": 7.0}

    shown = Benchmark("", lambda _settings: [("case", {"a": measure("a"), "absent": None, "b": measure("b")})])
    found = shown.measure(Settings(Path(), 3, 1.0, Path()))
    assert calls == ["a", "b"] * 3
    assert found["case"] == {"a": {"s": [1, 3, 5], "MB": [7] * 3}, "absent": None, "b": {"s": [2, 4, 6], "MB": [7] * 3}}


def test_ratio_by_repeat():
    # The machine was twice as fast in the second repeat, which does not change the ratio.
    entry = Entry({}, 3, {"case": {"a": {"rows/s": [30.0, 60, 33]}, "b": {"rows/s": [10.0, 20, 10]}, "c": None}})
    assert entry.ratio("case", "a", "b") == pytest.approx([3, 3, 3.3])
    for case, one, other, quantity in [
        ("case", "a", "c", "rows/s"),
        ("case", "a", "b", "s"),
        ("d", "a", "b", "rows/s"),
    ]:
        assert entry.ratio(case, one, other, quantity) is None


@pytest.mark.parametrize(
    ("target", "required", "verdict"),
    [
        (Target("", [1.0, 1.5, 2.0], least=1.5), "at least 1.5", "reached"),
        (Target("", [2.0, 1.2, 1.0], least=1.5), "at least 1.5", "missed by 20.0 %"),
        (Target("", [1.0], most=1.0), "at most 1", "reached"),
        (Target("", [1.5], most=1.0), "at most 1", "missed by 50.0 %"),
        (Target("", None, least=4), "at least 4", "not measured"),
    ],
)
def test_target(target: Target, required: str, verdict: str):
    assert (target.required, target.verdict) == (required, verdict)


def test_spread():
    assert page.spread([1000, 3000, 2000.4]) == "2,000 (1,000 to 3,000)"
    assert page.spread([0.01234]) == "0.0123"
    assert page.spread(None) == ""


def test_comparison():
    figures = {"x": {"ddmlp": {"rows/s": [4.0, 8.0], "MB": [1.0, 1.0]}, "b": {"rows/s": [2.0, 2.0]}, "c": None}}
    shown = Benchmark("", list, of="b", faster="ddmlp", column=("more", lambda _entry, *names: "-".join(names)))
    assert page.comparison(shown, Entry({}, 2, figures)) == [
        ["", "", "rows/s", "MB", "of b", "ddmlp is faster", "more"],
        ["x", "**ddmlp**", "6 (4 to 8)", "1", "3.00", "1.00", "x-ddmlp"],
        ["", "b", "2", "", "1.00", "3.00", "x-b"],
        ["", "c", "not installed", "not installed", "", "", "x-c"],
    ]


def test_rate():
    now, calls = iter([0.0, 1.0, 2.0, 4.0]), []
    assert per_second(lambda: calls.append(0), 3, lambda: next(now)) == 2 / 4
    assert len(calls) == 3  # the first call is the warm-up


def run(out: Path, data: Path, suite: list[Benchmark], *flags: str) -> dict:
    command.main([str(data), "--out", str(out), "--repeats", "2", *flags], suite)
    return msgspec.to_builtins(Record.read(out))["benchmarks"]


def test_only_keeps_others(data: Path, tmp_path: Path):
    first = run(tmp_path, data, [benchmark("start", 1.0, 1.0), benchmark("memory", 3.0, 3.0)])
    assert first["start"]["figures"] == {"": {"a": {"rows/s": [1, 1]}, "absent": None}}
    text = (tmp_path / page.NAME).read_text()
    assert "1 of 2 targets" in text
    assert "\n- start: start is fast: missed by 50.0 %\n" in text
    assert "\n| start is fast | at least 2 | 1 | missed by 50.0 % |\n" in text
    second = run(tmp_path, data, [benchmark("start", 4.0, 4.5), benchmark("memory", 5.0, 5.0)], "--only", "start")
    assert second["memory"] == first["memory"]
    assert second["start"]["figures"][""]["a"]["rows/s"] == [4, 4.5]
    text = (tmp_path / page.NAME).read_text()
    assert "2 of 2 targets" in text
    assert text.index("| a | 4.25 (4 to 4.5) |") < text.index("| a | 3 |")
    assert text.index("## Start") < text.index("--only start`") < text.index("## Memory")


def test_other_environment(data: Path, tmp_path: Path):
    suite = [benchmark("start", 1.0, 1.0), benchmark("memory", 3.0, 3.0)]
    run(tmp_path, data, suite)
    assert (tmp_path / page.NAME).read_text().count("Measured on") == 1
    record = Record.read(tmp_path)
    record.benchmarks["memory"].environment["processor"] = "another"
    record.write(tmp_path)
    run(tmp_path, data, suite, "--only")
    assert (tmp_path / page.NAME).read_text().count("Measured on: another") == 1


@pytest.mark.parametrize(
    ("flags", "named"), [(["--repeats", "0"], "--repeats is 0"), (["--only", "x"], "--only"), (["--seconds", "0"], "0")]
)
def test_bad_flags(data: Path, tmp_path: Path, flags: list[str], named: str):
    done = inside(command.main, data, "--out", tmp_path, *flags)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert named in done.stderr


def test_no_dataset(tmp_path: Path):
    done = inside(command.main, tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"{tmp_path} has no dataset train/" in done.stderr


@pytest.mark.parametrize("text", ["[]", "{", '{"benchmarks": {"one": {"repeats": "2"}}}', '{"other": {}}'])
def test_bad_record(data: Path, tmp_path: Path, text: str):
    (tmp_path / NAME).write_text(text)
    done = inside(command.main, data, "--out", tmp_path, "--only")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert str(tmp_path / NAME) in done.stderr
    assert (tmp_path / NAME).read_text() == text


def test_all_sections(tmp_path: Path):
    """Each benchmark has a unique name, and a section in the template."""
    names = [benchmark.name for benchmark in SUITE]
    assert len(set(names)) == len(names) == 20
    page.write(tmp_path, SUITE, Record({name: Entry(ENVIRONMENT, 1, {}) for name in names if name != "growth"}))
    text = (tmp_path / page.NAME).read_text()
    assert [name for name in names if f"--only {name}`" not in text] == ["growth"]


@pytest.mark.parametrize("folder", PAGES, ids=lambda folder: folder.name)
def test_pages_in_docs(folder: Path, tmp_path: Path):
    record = Record.read(folder)
    assert record.benchmarks.keys() <= {benchmark.name for benchmark in SUITE}
    page.write(tmp_path, SUITE, record)
    assert (tmp_path / page.NAME).read_bytes() == (folder / page.NAME).read_bytes()
