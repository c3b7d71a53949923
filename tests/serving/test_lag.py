"""The lag of a run, for its page."""

import json
from pathlib import Path

import pytest

from ddmlp.runs.lag import Lag, write_lag
from ddmlp.runs.run import Run
from ddmlp.serving import events
from ddmlp.serving.events import state
from tests.serving.test_events import UNBEGUN, messages


def test_simple(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(events, "POLL_SECONDS", 0)
    write_lag(tmp_path, Lag(messages=3, rows=35, seconds=2.5))
    assert state(Run(tmp_path)) == {**UNBEGUN, "lag": Lag(messages=3, rows=35, seconds=2.5)}
    assert ("state", {**UNBEGUN, "lag": {"messages": 3, "rows": 35, "seconds": 2.5}}) in messages(Run(tmp_path), 2)
    assert json.loads((tmp_path / "lag.json").read_text()) == {"messages": 3, "rows": 35, "seconds": 2.5}
