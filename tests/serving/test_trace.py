"""The trace of a run over HTTP: each event once while the reader is fast enough, and never more than a part."""

from pathlib import Path

import pytest

from ddmlp.runs.trace_events import instant_line
from ddmlp.runs.trace_file import BEFORE, NAME, TraceFile
from ddmlp.serving import trace as module
from ddmlp.serving.trace import Part, read_part
from tests.support.servers import Server, serving


def lines(*numbers: int) -> bytes:
    return "".join(instant_line("joined", 1, number) for number in numbers).encode()


def told(part: Part | None) -> list[object]:
    assert part is not None
    return [event["ts"] for event in part.events]


def after(run: Path, part: Part | None) -> Part:
    assert part is not None
    found = read_part(run, part.file, part.offset)
    assert found is not None
    return found


def test_simple(tmp_path: Path):
    assert read_part(tmp_path) is None
    file = TraceFile(tmp_path)
    file.write(lines(1, 2))
    first = read_part(tmp_path)
    assert told(first) == [1, 2]
    assert told(none := after(tmp_path, first)) == []
    with (tmp_path / NAME).open("ab") as half:
        half.write(lines(3)[:20])
    assert told(after(tmp_path, none)) == [], "half a line"
    with (tmp_path / NAME).open("ab") as half:
        half.write(lines(3)[20:])
    assert told(after(tmp_path, none)) == [3]


def test_new_file(tmp_path: Path):
    """The rest of a full file is read first, then the new one from its beginning."""
    file = TraceFile(tmp_path, most=6 * len(lines(1)))
    file.write(lines(1, 2))
    part = read_part(tmp_path)
    file.write(lines(3, 4))
    file.write(lines(5, 6))
    assert (tmp_path / BEFORE).exists()
    seen = []
    for _ in range(4):
        part = after(tmp_path, part)
        seen += told(part)
    assert seen == [3, 4, 5, 6]


def test_new_file_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The file gets full just before it is read: no event is read twice."""
    file = TraceFile(tmp_path, most=4 * len(lines(1)))
    file.write(lines(1, 2))
    part = read_part(tmp_path)
    number = module._number

    def full(path: Path) -> str:
        monkeypatch.undo()
        found = number(path)
        file.write(lines(3, 4, 5))
        return found

    monkeypatch.setattr(module, "_number", full)
    seen = []
    for _ in range(3):
        part = after(tmp_path, part)
        seen += told(part)
    assert (tmp_path / BEFORE).exists()
    assert seen == [3, 4, 5]


def test_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A reader that is too slow misses events, and learns how much."""
    monkeypatch.setattr(module, "CHUNK_BYTES", 4 * len(lines(10)) - 5)
    file = TraceFile(tmp_path)
    file.write(lines(10, 11))
    first = read_part(tmp_path)
    file.write(lines(*range(12, 40)))
    second = after(tmp_path, first)
    assert told(second) == [37, 38, 39], "the first line of the part is cut"
    assert second.skipped == len(lines(*range(12, 36))) + 5
    newest = read_part(tmp_path)
    assert newest is not None
    assert newest.skipped > second.skipped, "all that is before it"
    assert told(read_part(tmp_path)) == [37, 38, 39]
    assert told(read_part(tmp_path, "another", 7)) == [37, 38, 39]
    assert told(read_part(tmp_path, second.file, 10**9)) == [37, 38, 39], "the file was cut"


def test_http(tmp_path: Path, trained: Path):
    (tmp_path / "config.json").write_bytes((trained / "config.json").read_bytes())
    with serving("--run", tmp_path) as server:
        answer = server.get("/trace")
        assert (answer.status, answer.json.keys()) == (404, {"error"})
        TraceFile(tmp_path).write(lines(1, 2))
        found = server.get("/trace").json
        assert [event["ts"] for event in found["events"]] == [1, 2]
        again = server.get(f"/trace?file={found['file']}&offset={found['offset']}").json
        assert again == {**found, "events": []}
        assert server.get("/trace?offset=-1").status == 422
        assert server.get(f"/trace?file={'x' * 33}").status == 422


def test_of_no_run(server: Server):
    assert server.get("/trace").status == 404
