"""The timeline of a report: parts of the trace, within bounds, and a script that a page allows by its hash."""

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest

import ddmlp
from ddmlp.reporting import timeline as module
from ddmlp.reporting.page import page
from ddmlp.reporting.summary import read_summary
from ddmlp.reporting.timeline import timeline
from ddmlp.runs.timeline import digest, script
from ddmlp.runs.trace_events import QUEUE, instant_line, name_line, slice_line
from ddmlp.runs.trace_file import NAME, TraceFile


def slices(*numbers: int) -> str:
    return "".join(slice_line("applied", 1, 0, 1_000_000 + each, 1_000_001 + each) for each in numbers)


def test_simple(tmp_path: Path):
    assert timeline(tmp_path) is None
    TraceFile(tmp_path).write((name_line("thread", 1, 0, "server") + slices(0, 1, 500_000)).encode())
    found = timeline(tmp_path)
    assert found is not None
    assert (found.whole, found.seconds) == (True, 0.5)
    assert [event["ph"] for event in json.loads(found.events)] == ["M", "X", "X", "X"]


def test_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Of a long trace, the beginning, the end, what is around an event, and all names."""
    size = len(slices(100))
    monkeypatch.setattr(module, "BEGINNING", 10 * size)
    monkeypatch.setattr(module, "END", 20 * size)
    monkeypatch.setattr(module, "AROUND", 5 * size)
    names, death = name_line("thread", 1, 1, "worker 0"), instant_line("death", 1, 1_000_450, reason="</script>")
    text = slices(*range(100, 300)) + names + slices(*range(300, 450)) + death + slices(*range(450, 900))
    TraceFile(tmp_path).write(text.encode())
    found = timeline(tmp_path)
    assert found is not None
    assert not found.whole
    events = json.loads(found.events)
    shown = [event["ts"] - 1_000_000 for event in events if event["ph"] == "X"]
    assert shown[:10] == [*range(100, 110)]
    assert shown[-20:] == [*range(880, 900)]
    assert 8 <= len([each for each in shown if 440 <= each <= 460]) <= 12
    assert len(shown) <= 10 + 20 + 12
    assert [event["args"] for event in events if event["ph"] == "M"] == [{"name": "worker 0"}]
    assert "<" not in found.events


def test_queue_is_left_out(tmp_path: Path):
    TraceFile(tmp_path).write((slice_line("queued", QUEUE, 0, 1, 2) + slices(1)).encode())
    found = timeline(tmp_path)
    assert found is not None
    assert [event["name"] for event in json.loads(found.events)] == ["applied"]


@pytest.mark.parametrize("content", [b"", b"[\n", b"[\n\xff\n", b"[\n7,\n[]\n", b'[\n{"ph":"X"},\n'], ids=repr)
def test_damaged(tmp_path: Path, content: bytes):
    (tmp_path / NAME).write_bytes(content)
    assert timeline(tmp_path) is None


def test_script():
    text = script()
    assert re.search(r"^(import|export)\b", text, re.MULTILINE) is None
    assert "</script" not in text
    assert digest() == f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@pytest.mark.slow  # the browser's tests show the same
def test_page(data: Path, tmp_path: Path):
    """A page has the script only if a run has a trace, and allows no other."""
    runs = [ddmlp.fit(data, run=tmp_path / str(trace), trace=trace, hidden=4, epochs=1).run for trace in (False, True)]
    plain, traced = (page([read_summary(run)]) for run in runs)
    assert "<script" not in plain
    assert "script-src" not in plain
    assert f"script-src {digest()}" in traced
    assert f'<script type="module">{script()}</script>' in traced
    assert traced.count("<script") == 2
