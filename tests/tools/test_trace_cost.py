"""The measurement of what a trace costs."""

from pathlib import Path

import pytest

from tools.benchmarks import trace_cost

pytestmark = pytest.mark.bench


def test_simple(data: Path, capsys: pytest.CaptureFixture[str]):
    assert trace_cost.main([str(data), "--workers", "0", "--rounds", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "longer by" in lines[2]
